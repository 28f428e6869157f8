//! 114 to 131: polls, cursors, and the moments around parking.
