//! 234 to 246: drains, herds, crashes, clocks that jump.
