//! What the fuzz targets share: the ways in which an input may arrive, and the replay of their corpora.
//!
//! A target is a function `fuzz_…` beside the parser that it is about, compiled for tests and for fuzzing
//! alone. It panics when a promise is broken. fuzz/README.md says what each asserts.

use fastrand::Rng;

/// Ways for `input` to arrive: for each, how many bytes are there after each read, the last being all of
/// them. At once, byte by byte, in two pieces, and in pieces of random lengths.
pub(crate) fn arrivals(input: &[u8]) -> [Vec<usize>; 4] {
    let len = input.len();
    let seed = input.iter().fold(len as u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    let mut random = Rng::with_seed(seed);
    let mut pieces: Vec<usize> = (0..1 + len / 16).map(|_| random.usize(..=len)).collect();
    pieces.sort_unstable();
    pieces.push(len);
    [vec![len], (0..=len).collect(), vec![random.usize(..=len), len], pieces]
}

/// Calls `fuzz` with every file of a target's corpus.
///
/// # Panics
/// If there is none: a corpus that was lost is no corpus that passes.
#[cfg(test)]
pub(crate) fn replay(target: &str, fuzz: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files = 0;
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        // A test that fails shows what it has printed: the file is the last one named.
        eprintln!("{}", path.display());
        fuzz(&bytes);
        files += 1;
    }
    assert!(files > 0, "{folder:?} has no file");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_every_way() {
        for length in 0..40 {
            for ends in arrivals(&vec![b'x'; length]) {
                assert!(ends.is_sorted());
                assert_eq!(ends.last(), Some(&length));
            }
        }
    }

    #[test]
    #[should_panic(expected = "nothing")]
    fn a_corpus_that_is_not_there_fails() {
        replay("nothing", |_| ());
    }
}
