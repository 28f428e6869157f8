//! 99 to 113: peers that are slow, stuck, half gone or too many.
