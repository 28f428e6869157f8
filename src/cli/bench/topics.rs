//! The names of the topics that are used.

use std::borrow::Cow;

/// One topic by its name, or many by a name and a number.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    name: String,
    count: u32,
}

impl Topics {
    /// `count` topics, at least one.
    pub(super) fn new(name: &str, count: u32) -> Self {
        Self { name: name.to_owned(), count: count.max(1) }
    }

    /// The name of the one with this index.
    pub(super) fn name(&self, index: u32) -> Cow<'_, str> {
        if self.count == 1 {
            Cow::Borrowed(&self.name)
        } else {
            Cow::Owned(format!("{}-{index}", self.name))
        }
    }
}

/// A name that needs no escaping in a URL or in JSON.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (1..=100).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("give 1 to 100 letters, digits, and - . _ ~".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_has_the_name_and_many_a_number_each() {
        assert_eq!(Topics::new("bench", 1).name(0), "bench");
        assert_eq!(Topics::new("bench", 1_000_000).name(999_999), "bench-999999");
    }

    #[test]
    fn names_that_would_need_escaping_are_refused() {
        assert!(parse_name("a-b.c").is_ok());
        for bad in ["", "a b", "a/b", "ä", "a,b", "\""] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
    }
}
