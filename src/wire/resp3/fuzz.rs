//! What must hold of any values, whatever is sent; and a second reader, plain and recursive, to compare with.

use super::*;
use crate::fuzzing::arrivals;

/// Small, so that short inputs meet them.
const SMALL: Bounds =
    Bounds { bytes_max: 64, value_bytes_max: 1000, depth_max: 6, elements_max: 100 };
/// As generous as a connection's.
pub(super) const LARGE: Bounds =
    Bounds { bytes_max: 1 << 20, value_bytes_max: 1 << 22, depth_max: 16, elements_max: 1 << 16 };

/// What came of an input: the values; how many bytes they were; then the error, or whether another has begun.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) values: Vec<(Value, usize)>,
    pub(super) end: Result<bool, RespError>,
}

/// Reads `input` as it arrives: `ends` says how many bytes are there each time.
///
/// # Panics
/// If less is taken than there is without a value, or more memory is held than what has come accounts for.
pub(super) fn read_in_pieces(bounds: Bounds, input: &[u8], ends: &[usize]) -> Found {
    let mut decoder = Decoder::new(bounds);
    let (mut values, mut taken, mut begun) = (Vec::new(), 0, 0);
    for end in ends {
        while taken < *end {
            match decoder.read(&input[taken..*end]) {
                Ok((count, value)) => {
                    assert!(count > 0 && (value.is_some() || taken + count == *end));
                    taken += count;
                    if let Some(value) = value {
                        values.push((value, taken - begun));
                        begun = taken;
                    }
                }
                Err(error) => return Found { values, end: Err(error) },
            }
            // Three bytes, `_` and a line's end, become a value of 32 in a list that has doubled; and lists that
            // are open have some room beforehand.
            let held_max = 32 * (taken - begun) + 1024 * (1 + bounds.depth_max);
            assert!(decoder.held_bytes() <= held_max, "{} > {held_max}", decoder.held_bytes());
        }
    }
    assert_eq!(decoder.is_within_value(), begun < input.len());
    Found { values, end: Ok(decoder.is_within_value()) }
}

/// The same for every way to arrive, once.
///
/// # Panics
/// If they differ.
pub(super) fn read_every_way(bounds: Bounds, input: &[u8]) -> Found {
    let [at_once, others @ ..] = arrivals(input);
    let found = read_in_pieces(bounds, input, &at_once);
    for ends in others {
        let other = read_in_pieces(bounds, input, &ends);
        // As text: NaN is not equal to itself.
        assert_eq!(format!("{other:?}"), format!("{found:?}"), "{}", input.escape_ascii());
    }
    found
}

/// For fuzzing: reads `bytes` as what Redis sends, and as the arguments of a command.
///
/// # Panics
/// If how they are split makes a difference; if more memory is held than what has come accounts for; if a value is not
/// what the specification says by the letter, or is refused though it is one and within bounds; if what is
/// written is not read back.
pub fn fuzz_resp3(bytes: &[u8]) {
    let Found { values, end } = read_every_way(SMALL, bytes);
    let mut rest = bytes;
    for (value, length) in values {
        let (expected, behind) = read_value(rest, 0).expect("what is taken is a value");
        assert_eq!(format!("{value:?}"), format!("{expected:?}"));
        assert_eq!(rest.len() - behind.len(), length);
        rest = behind;
        let mut written = Vec::new();
        encode_value(&mut written, &value);
        let again = read_in_pieces(LARGE, &written, &[written.len()]);
        assert_eq!(format!("{:?}", again.values), format!("{:?}", [(value, written.len())]));
    }
    let is_value = read_value(rest, 0).is_some();
    match end {
        Ok(is_within_value) => assert_eq!((is_value, is_within_value), (false, !rest.is_empty())),
        Err(RespError::StringTooLong | RespError::ValueTooLong) => {}
        Err(RespError::TooManyElements | RespError::TooDeep) => {}
        Err(RespError::Tls) => assert!(rest.starts_with(&[0x15, 0x03])),
        Err(error) => assert!(!is_value, "{error:?}: {}", rest.escape_ascii()),
    }
    let arguments: Vec<&[u8]> = bytes.split(|byte| *byte == 0xff).collect();
    let mut command = Vec::new();
    encode_command(&mut command, &arguments);
    let strings = arguments.iter().map(|argument| Value::Bulk(argument.to_vec())).collect();
    let found = read_in_pieces(LARGE, &command, &[command.len()]);
    assert_eq!(found.values, [(Value::Array(strings), command.len())]);
}

/// The value that `input` begins with and what is behind it, by the letter of the specification; `None` if it is
/// none, or not whole.
fn read_value(input: &[u8], depth: usize) -> Option<(Value, &[u8])> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, mut rest) = (&input[..end], &input[end + 2..]);
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return None;
    }
    let (kind, text) = (char::from(*line.first()?), line.escape_ascii().to_string());
    let text = &text[1..];
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = || text.parse::<usize>().ok().filter(|_| is_digits(text));
    let mut elements = |count: usize| {
        (0..count)
            .map(|_| {
                let (value, behind) = read_value(rest, depth + 1)?;
                rest = behind;
                Some(value)
            })
            .collect::<Option<Vec<Value>>>()
    };
    let value = match kind {
        '+' => Value::Simple(line[1..].to_vec()),
        '-' => Value::Error(line[1..].to_vec()),
        ':' => Value::Integer(text.parse().ok()?),
        '_' => text.is_empty().then_some(Value::Null)?,
        '#' => Value::Boolean(["f", "t"].iter().position(|letter| *letter == text)? == 1),
        ',' => Value::Double(read_double(text)?),
        '(' => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            is_digits(digits).then(|| Value::BigNumber(line[1..].to_vec()))?
        }
        '$' | '*' if text == "-1" => Value::Null,
        '$' | '!' | '=' => {
            let (bytes, behind) = rest.split_at_checked(count()?)?;
            rest = behind.strip_prefix(b"\r\n")?;
            match kind {
                '!' => Value::Error(bytes.to_vec()),
                '=' => Value::Bulk(bytes.get(4..).filter(|_| bytes[3] == b':')?.to_vec()),
                _ => Value::Bulk(bytes.to_vec()),
            }
        }
        '*' => Value::Array(elements(count()?)?),
        '~' => Value::Set(elements(count()?)?),
        '>' if depth == 0 => Value::Push(elements(count()?)?),
        '%' | '|' => {
            let mut values = elements(count()?.checked_mul(2)?)?.into_iter();
            if kind == '|' {
                return read_value(rest, depth);
            }
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (values.next(), values.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
        _ => return None,
    };
    Some((value, rest))
}

fn read_double(text: &str) -> Option<f64> {
    match text {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" | "-nan" => Some(f64::NAN),
        _ => {
            let begins =
                text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
            text.parse().ok().filter(|_| begins)
        }
    }
}

/// Appends a value, as Redis would.
pub(super) fn encode_value(out: &mut Vec<u8>, value: &Value) {
    let mut put = |parts: [&[u8]; 2]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    let length = |length: usize| length.to_string().into_bytes();
    match value {
        Value::Simple(bytes) => put([b"+", bytes]),
        Value::Error(bytes) if bytes.iter().any(|byte| b"\r\n".contains(byte)) => {
            put([b"!", &length(bytes.len())]);
            put([bytes, b""]);
        }
        Value::Error(bytes) => put([b"-", bytes]),
        Value::Integer(number) => put([b":", number.to_string().as_bytes()]),
        Value::Bulk(bytes) => {
            put([b"$", &length(bytes.len())]);
            put([bytes, b""]);
        }
        Value::Null => put([b"_", b""]),
        Value::Boolean(is_true) => put([b"#", if *is_true { b"t" } else { b"f" }]),
        Value::Double(number) => put([b",", format!("{number:?}").to_lowercase().as_bytes()]),
        Value::BigNumber(bytes) => put([b"(", bytes]),
        Value::Array(values) => {
            put([b"*", &length(values.len())]);
            values.iter().for_each(|value| encode_value(out, value));
        }
        Value::Set(values) => {
            put([b"~", &length(values.len())]);
            values.iter().for_each(|value| encode_value(out, value));
        }
        Value::Push(values) => {
            put([b">", &length(values.len())]);
            values.iter().for_each(|value| encode_value(out, value));
        }
        Value::Map(pairs) => {
            put([b"%", &length(pairs.len())]);
            for (key, value) in pairs {
                encode_value(out, key);
                encode_value(out, value);
            }
        }
    }
}

#[test]
fn the_corpus_of_values_keeps_every_promise() {
    crate::fuzzing::replay("resp3", fuzz_resp3);
}
