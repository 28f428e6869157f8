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

/// The name of a topic as it stands in Redis's keys and channels: what is not plain there is `%XX`.
pub(crate) fn name_of_encoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        assert!(first.is_ascii_graphic() && !b"{}".contains(first), "{text:?} is no name in a key");
        let [b'%', high, low, tail @ ..] = rest else {
            assert!(*first != b'%', "{text:?} ends within a byte");
            bytes.push(*first);
            rest = tail;
            continue;
        };
        let digit = |byte: u8| "0123456789ABCDEF".bytes().position(|one| one == byte);
        let byte = digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low) as u8);
        bytes.push(byte.unwrap_or_else(|| panic!("{text:?} has a byte that is none")));
        rest = tail;
    }
    String::from_utf8(bytes).expect("names are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_key_is_read_as_it_was_meant() {
        assert_eq!(name_of_encoded("100%25%20\"so\""), NAMES[4]);
        assert_eq!(name_of_encoded("%C3%BCn%C3%AF"), NAMES[2]);
        assert_eq!(name_of_encoded("a/b"), NAMES[1]);
    }
}
