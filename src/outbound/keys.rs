//! What a topic is called in Redis: its keys and its channel, all of which are in one slot of a cluster.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::topic::TopicName;

/// Slots of a cluster (Redis Cluster specification, "Key distribution model").
pub(super) const SLOTS: u16 = 16_384;

/// Bytes that stand for themselves: what a person may read in a key, but for what means something there.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'%' | b'{' | b'}')
}

/// Appends a topic's name so that it has no braces, which would choose another slot, and no spaces.
fn encode_name(topic: &TopicName, out: &mut String) {
    for &byte in topic.as_str().as_bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

/// The bytes of a name that was encoded so.
fn decode_name(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'%' {
            name.push(byte);
            rest = behind;
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'A'..=b'F' => Some(byte - b'A' + 10),
            _ => None,
        };
        name.push(digit(digits[0])? << 4 | digit(digits[1])?);
        rest = behind;
    }
    Some(Cow::Owned(name))
}

/// `P:{E(T)}`, which is the channel, and what the keys begin with.
pub(super) fn channel(prefix: &str, topic: &TopicName) -> String {
    let mut out = String::with_capacity(prefix.len() + topic.as_str().len() + 16);
    out.push_str(prefix);
    out.push_str(":{");
    encode_name(topic, &mut out);
    out.push('}');
    out
}

/// The bytes of the name of the topic whose channel this is. Whether it is a topic's name is for the caller to find
/// out: there is an answer for anything between the braces.
pub(super) fn name_of<'a>(prefix: &str, channel: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let rest = channel.strip_prefix(prefix.as_bytes())?.strip_prefix(b":{")?;
    decode_name(rest.strip_suffix(b"}")?)
}

/// The slot of a topic's keys and of its channel.
pub(super) fn slot_of(topic: &TopicName) -> u16 {
    let mut name = String::with_capacity(topic.as_str().len());
    encode_name(topic, &mut name);
    slot(name.as_bytes())
}

/// The slot of what is between the braces of a key.
pub(super) fn slot(tag: &[u8]) -> u16 {
    crc16(tag) % SLOTS
}

/// CRC16 as XMODEM has it (Redis Cluster specification, Appendix A).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let index = (crc >> 8) ^ u16::from(byte);
        (crc << 8) ^ TABLE[usize::from(index & 0xff)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = ((index as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_topic_s_name_is_safe_in_a_key_whatever_it_holds() {
        for (name, expected) in [
            ("news/2026", "p:{news/2026}"),
            ("a b", "p:{a%20b}"),
            ("{x}%", "p:{%7Bx%7D%25}"),
            ("ü🙂", "p:{%C3%BC%F0%9F%99%82}"),
            ("a:b\"c'", "p:{a:b\"c'}"),
        ] {
            let channel = channel("p", &topic(name));
            assert_eq!(channel, expected);
            assert_eq!(name_of("p", channel.as_bytes()).as_deref(), Some(name.as_bytes()));
        }
    }

    #[test]
    fn nothing_else_is_a_channel_of_ours() {
        for channel in
            ["", "p", "p:{a", "q:{a}", "p:{a}:log", "p:{%7b}", "p:{%2}", "p:{%", "pp:{a}"]
        {
            assert_eq!(name_of("p", channel.as_bytes()), None, "{channel}");
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // Redis Cluster specification, Appendix A; the others by CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"user1000"), 3_443);
        assert_eq!(slot_of(&topic("foo")), 12_182);
    }
}
