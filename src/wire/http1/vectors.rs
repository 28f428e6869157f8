//! Replays the pages in tests/vectors.
