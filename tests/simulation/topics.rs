//! The topics of a run, by number. Their names are such that mistakes with bytes, order and escapes show.

/// Topics there may be in a run.
pub(crate) const TOPICS_MAX: usize = NAMES.len();

/// Not in the order of their bytes.
const NAMES: [&str; 6] = ["news", "a/b", "ünï", "NEWS", "100% \"so\"", "news-2"];

pub(crate) fn name(topic: usize) -> &'static str {
    NAMES[topic]
}

pub(crate) fn number_of_topic(name: &str) -> usize {
    let number = NAMES.iter().position(|&one| one == name);
    number.unwrap_or_else(|| panic!("there is no topic {name:?}"))
}
