//! What every parser here is tested against: inputs split in every way, and inputs gone wrong.

use super::{BodyLimits, HeadLimits};

/// As the server's defaults, where the vectors depend on them.
pub(super) const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, fields_max: 100 };

/// As the server's defaults.
pub(super) const BODY_LIMITS: BodyLimits = BodyLimits {
    payload_bytes_max: 1024 * 1024,
    chunk_line_bytes_max: 256,
    trailers_max: 16,
    trailer_bytes_max: 4096,
};

/// Calls `check` with ways to receive `input`: for each, how many bytes have arrived after each
/// read, the last being all of them. At once; byte by byte; cut once at every place; cut at random
/// places.
///
/// Long inputs are cut once at 64 places instead of at every one.
pub(super) fn every_split(input: &[u8], mut check: impl FnMut(&[usize])) {
    let len = input.len();
    check(&[len]);
    check(&(0..=len).collect::<Vec<_>>());
    for cut in (0..len).step_by(len.div_ceil(64).max(1)) {
        check(&[cut, len]);
    }
    let mut random = fastrand::Rng::with_seed(input.iter().map(|byte| u64::from(*byte)).sum());
    for _ in 0..4 {
        let mut ends: Vec<_> = (0..5).map(|_| random.usize(..=len)).collect();
        ends.sort_unstable();
        ends.push(len);
        check(&ends);
    }
}

/// `valid` itself, and everything one mistake away from it: each byte replaced by bytes that mean
/// something, removed, or doubled; everything behind it missing.
pub(super) fn mutations(valid: &[u8]) -> Vec<Vec<u8>> {
    let mut inputs = vec![valid.to_vec()];
    for (at, byte) in valid.iter().enumerate() {
        let (before, after) = (&valid[..at], &valid[at + 1..]);
        for other in b"\r\n\0 \t:;,=\"%#x0f5\x7f\x80\xff" {
            inputs.push([before, &[*other], after].concat());
        }
        inputs.push([before, after].concat());
        inputs.push([before, &[*byte, *byte], after].concat());
        inputs.push(before.to_vec());
    }
    inputs
}
