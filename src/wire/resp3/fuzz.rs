//! What must hold of any values, whatever is sent.

use super::*;
use crate::fuzzing::arrivals;

/// For fuzzing: reads `bytes` as what Redis sends.
///
/// # Panics
/// If how they are split makes a difference.
pub fn fuzz_resp3(bytes: &[u8]) {
    let bounds = Bounds { bytes_max: 64, value_bytes_max: 1000, depth_max: 4, elements_max: 100 };
    let mut found = arrivals(bytes).map(|ends| {
        let mut decoder = Decoder::new(bounds);
        let (mut values, mut taken) = (Vec::new(), 0);
        for end in ends {
            while taken < end {
                match decoder.read(&bytes[taken..end]) {
                    Ok((count, value)) => {
                        taken += count;
                        values.extend(value);
                    }
                    Err(error) => return (format!("{values:?}"), Some(error)),
                }
            }
        }
        (format!("{values:?}"), None)
    });
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found[0], found[3]);
}
