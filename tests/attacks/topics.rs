//! 185 to 196: too many topics, too large messages, too many subscribers.
