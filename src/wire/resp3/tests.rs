//! The examples of the specification, what they are when cut anywhere, and what a hostile peer sends.

use std::iter::repeat_n;

use fastrand::Rng;

use super::fuzz::{Found, LARGE, encode_value, read_every_way, read_in_pieces};
use super::*;

fn value(input: &[u8]) -> Value {
    let Found { mut values, end } = read_every_way(LARGE, input);
    assert_eq!((values.len(), end), (1, Ok(false)), "{values:?}");
    values.pop().unwrap().0
}

fn error(input: &[u8]) -> RespError {
    error_within(LARGE, input)
}

fn error_within(bounds: Bounds, input: &[u8]) -> RespError {
    read_every_way(bounds, input).end.expect_err("an error")
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

#[test]
fn the_examples_of_the_specification_are_read() {
    use Value::{Array, BigNumber, Boolean, Double, Integer, Map, Null, Push, Set};
    let cases: [(&[u8], Value); 27] = [
        (b"$11\r\nhello world\r\n", bulk("hello world")),
        (b"$0\r\n\r\n", bulk("")),
        (b"+hello world\r\n", simple("hello world")),
        (
            b"-ERR this is the error description\r\n",
            Value::Error(b"ERR this is the error description".into()),
        ),
        (b":1234\r\n", Integer(1234)),
        (b":-9223372036854775808\r\n", Integer(i64::MIN)),
        (b"_\r\n", Null),
        (b"$-1\r\n", Null),
        (b"*-1\r\n", Null),
        (b",1.23\r\n", Double(1.23)),
        (b",10\r\n", Double(10.0)),
        (b",-1.5E-3\r\n", Double(-0.0015)),
        (b",inf\r\n", Double(f64::INFINITY)),
        (b",-inf\r\n", Double(f64::NEG_INFINITY)),
        (b"#t\r\n", Boolean(true)),
        (b"#f\r\n", Boolean(false)),
        (b"!21\r\nSYNTAX invalid syntax\r\n", Value::Error(b"SYNTAX invalid syntax".into())),
        (b"=15\r\ntxt:Some string\r\n", bulk("Some string")),
        (
            b"(-349289032840923850932485094385094382\r\n",
            BigNumber(b"-349289032840923850932485094385094382".into()),
        ),
        (b"*3\r\n:1\r\n:2\r\n:3\r\n", Array(vec![Integer(1), Integer(2), Integer(3)])),
        (
            b"*2\r\n*3\r\n:1\r\n$5\r\nhello\r\n:2\r\n#f\r\n",
            Array(vec![Array(vec![Integer(1), bulk("hello"), Integer(2)]), Boolean(false)]),
        ),
        (b"*0\r\n", Array(vec![])),
        (
            b"%2\r\n+first\r\n:1\r\n+second\r\n:2\r\n",
            Map(vec![(simple("first"), Integer(1)), (simple("second"), Integer(2))]),
        ),
        (b"~2\r\n+orange\r\n#t\r\n", Set(vec![simple("orange"), Boolean(true)])),
        (
            b"|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n\
              *2\r\n:2039123\r\n:9543892\r\n",
            Array(vec![Integer(2_039_123), Integer(9_543_892)]),
        ),
        (
            b"*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n",
            Array(vec![Integer(1), Integer(2), Integer(3)]),
        ),
        (
            b">4\r\n+pubsub\r\n+message\r\n+somechannel\r\n+this is the message\r\n",
            Push(vec![
                simple("pubsub"),
                simple("message"),
                simple("somechannel"),
                simple("this is the message"),
            ]),
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(value(input), expected, "{}", input.escape_ascii());
    }
    assert!(matches!(value(b",nan\r\n"), Double(number) if number.is_nan()));
}

#[test]
fn a_command_is_an_array_of_strings_whatever_they_hold() {
    let arguments: [&[u8]; 4] = [b"SET", b"", b"a b\r\n$1\r\n\0\xff", &[b'x'; 1234]];
    let mut command = Vec::new();
    encode_command(&mut command, &arguments);
    assert!(command.starts_with(b"*4\r\n$3\r\nSET\r\n$0\r\n\r\n$11\r\n"));
    let strings = arguments.iter().map(|argument| Value::Bulk(argument.to_vec())).collect();
    assert_eq!(value(&command), Value::Array(strings));
}

#[test]
fn of_several_values_each_is_given_when_it_is_complete_and_the_rest_is_left() {
    let mut decoder = Decoder::new(LARGE);
    let input = b"+OK\r\n*1\r\n:7\r\n$5\r\nhe";
    assert_eq!(decoder.read(input), Ok((5, Some(simple("OK")))));
    assert_eq!(decoder.read(&input[5..]), Ok((8, Some(Value::Array(vec![Value::Integer(7)])))));
    assert_eq!((decoder.read(&input[13..]), decoder.is_within_value()), (Ok((6, None)), true));
    assert_eq!(decoder.read(b"llo\r\n"), Ok((5, Some(bulk("hello")))));
    assert_eq!((decoder.read(b""), decoder.is_within_value()), (Ok((0, None)), false));
}

/// Any value of at most so many elements in each of its aggregates.
fn random_value(random: &mut Rng, depth: usize) -> Value {
    let bytes = |random: &mut Rng, from: &[u8]| {
        let count = random.usize(..12);
        (0..count).map(|_| from[random.usize(..from.len())]).collect::<Vec<u8>>()
    };
    let kinds = if depth == 0 { 8 } else { 12 };
    let count = random.usize(..4);
    match random.u8(..kinds) {
        0 => Value::Simple(bytes(random, b" aZ\xff\0$*:")),
        1 => Value::Error(bytes(random, b"ERR \r\n\0")),
        2 => Value::Integer(random.i64(..) >> random.u8(..64)),
        3 => Value::Bulk(bytes(random, b"\r\n$5*:x\0")),
        4 => Value::Null,
        5 => Value::Boolean(random.bool()),
        6 => Value::Double(random.f64() * 10_f64.powi(random.i32(-30..30))),
        7 => Value::BigNumber(random.u64(..).to_string().into()),
        8 => Value::Set((0..count).map(|_| random_value(random, depth - 1)).collect()),
        9 => {
            let mut any = || random_value(random, depth - 1);
            Value::Map((0..count).map(|_| (any(), any())).collect())
        }
        _ => Value::Array((0..count).map(|_| random_value(random, depth - 1)).collect()),
    }
}

#[test]
fn a_value_that_was_encoded_is_read_back_however_it_is_split() {
    let mut random = Rng::with_seed(3);
    for _ in 0..500 {
        let values: Vec<_> = (0..3).map(|_| random_value(&mut random, 5)).collect();
        let mut input = Vec::new();
        values.iter().for_each(|value| encode_value(&mut input, value));
        encode_value(&mut input, &Value::Push(values.clone()));
        let found = read_every_way(LARGE, &input);
        let mut read: Vec<_> = found.values.into_iter().map(|(value, _)| value).collect();
        assert_eq!((read.pop(), found.end), (Some(Value::Push(values.clone())), Ok(false)));
        assert_eq!(read, values);
    }
}

#[test]
fn what_is_asked_of_a_value_is_answered_if_it_is_of_that_kind() {
    let hello = value(b"%2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n+proto\r\n:3\r\n");
    assert_eq!(hello.field(b"mode").and_then(Value::as_text), Some("standalone"));
    assert_eq!(hello.field(b"proto").and_then(Value::as_integer), Some(3));
    assert_eq!((hello.field(b"role"), Value::Null.field(b"mode")), (None, None));
    for list in [b"*1\r\n_\r\n", b"~1\r\n_\r\n", b">1\r\n_\r\n"] {
        assert_eq!(value(list).as_array(), Some(&[Value::Null][..]));
        assert_eq!(value(list).into_array(), Some(vec![Value::Null]));
    }
    let text = bulk("\u{e9}");
    assert_eq!((text.as_text(), text.as_bytes()), (Some("\u{e9}"), Some(&b"\xc3\xa9"[..])));
    assert_eq!(text.clone().into_bytes(), Some(b"\xc3\xa9".to_vec()));
    assert_eq!((text.as_integer(), text.as_array(), text.as_error()), (None, None, None));
    let error = Value::Error(b"ERR no".to_vec());
    assert_eq!((error.as_error(), error.as_bytes()), (Some(&b"ERR no"[..]), None));
    assert_eq!((error.as_text(), error.clone().into_bytes()), (None, None));
    assert_eq!((error.into_array(), text.into_array()), (None, None));
    assert_eq!(Value::Bulk(vec![0xff]).as_text(), None);
}

#[test]
fn attack_257_what_is_not_resp3_is_refused_at_its_first_wrong_byte() {
    let cases: [(&[u8], RespError); 12] = [
        (b"HTTP/1.1 400 Bad Request", RespError::UnknownType(b'H')),
        (b"\r\n", RespError::UnknownType(b'\r')),
        (b"\0", RespError::UnknownType(0)),
        (b"PING\r\n", RespError::UnknownType(b'P')),
        (b"*1\r\nx", RespError::UnknownType(b'x')),
        (b"\x15\x03\x01\0\x02\x02\x46", RespError::Tls),
        (b"\x15\x01", RespError::UnknownType(0x15)),
        (b"*1\r\n\x15", RespError::UnknownType(0x15)),
        (b";4\r\n", RespError::UnknownType(b';')),
        (b"$3\r\nabcd", RespError::StringEnd),
        (b"$0\r\n$", RespError::StringEnd),
        (b"$3\r\nabc\rd", RespError::StringEnd),
    ];
    for (input, expected) in cases {
        assert_eq!(error(input), expected, "{}", input.escape_ascii());
    }
    // Nothing is refused for what is still to come.
    for begun in [&b"\x15"[..], b"*1\r\n", b"$3\r\nabc", b"$3\r\nabc\r", b"$-", b"=3\r\ntxt"] {
        assert_eq!(read_every_way(LARGE, begun).end, Ok(true), "{}", begun.escape_ascii());
    }
}

#[test]
fn attack_257_a_line_that_is_malformed_is_refused() {
    use RespError::{Length, LineEnd, NestedPush, Scalar, Streamed, Verbatim};
    let cases: [(&str, RespError); 40] = [
        ("+a\n", LineEnd),
        ("+a\rb\r\n", LineEnd),
        (":1\n", LineEnd),
        ("$\n", LineEnd),
        (":\r\n", Scalar),
        (":-\r\n", Scalar),
        (":1 \r\n", Scalar),
        (":0x1\r\n", Scalar),
        (":9223372036854775808\r\n", Scalar),
        ("_0\r\n", Scalar),
        ("#\r\n", Scalar),
        ("#true\r\n", Scalar),
        (",\r\n", Scalar),
        (",.5\r\n", Scalar),
        (",infinity\r\n", Scalar),
        (",1,5\r\n", Scalar),
        ("(\r\n", Scalar),
        ("(-\r\n", Scalar),
        ("(1.5\r\n", Scalar),
        ("$\r\n", Length),
        ("$+1\r\n", Length),
        ("$ 1\r\n", Length),
        ("$1a\r\n", Length),
        ("$-2\r\n", Length),
        ("$-1 \r\n", Length),
        ("*-2\r\n", Length),
        ("*\r\n", Length),
        ("!-1\r\n", Length),
        ("=-1\r\n", Length),
        ("%-1\r\n", Length),
        ("~-1\r\n", Length),
        (">-1\r\n", Length),
        ("|-1\r\n", Length),
        ("$?\r\n", Streamed),
        ("*?\r\n", Streamed),
        ("%?\r\n", Streamed),
        ("*1\r\n>1\r\n+a\r\n", NestedPush),
        ("|1\r\n>0\r\n", NestedPush),
        ("=3\r\ntxt\r\n", Verbatim),
        ("=4\r\ntext\r\n", Verbatim),
    ];
    for (input, expected) in cases {
        assert_eq!(error(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn attack_257_what_is_only_announced_takes_no_memory_and_what_is_over_a_bound_is_refused() {
    for (announced, expected) in [
        ("$536870912", RespError::StringTooLong),
        ("!1048577", RespError::StringTooLong),
        ("$18446744073709551615", RespError::StringTooLong),
        ("=99999999999999999999999999", RespError::StringTooLong),
        ("*65537", RespError::TooManyElements),
        ("%32769", RespError::TooManyElements),
        ("|9223372036854775808", RespError::TooManyElements),
        ("~18446744073709551615", RespError::TooManyElements),
        (">4294967296", RespError::TooManyElements),
        ("*65535\r\n*2", RespError::TooManyElements),
    ] {
        assert_eq!(error(format!("{announced}\r\n").as_bytes()), expected, "{announced}");
    }
    for allowed in ["$1048576\r\n", "*65536\r\n", "%32768\r\n", "*8\r\n*8\r\n*8\r\n%8\r\n"] {
        let mut decoder = Decoder::new(LARGE);
        assert_eq!(decoder.read(allowed.as_bytes()), Ok((allowed.len(), None)));
        assert!(decoder.held_bytes() < 4096, "{allowed:?}: {}", decoder.held_bytes());
    }
}

#[test]
fn attack_257_a_value_is_bounded_as_a_whole_and_so_is_a_line() {
    let bounds = Bounds { value_bytes_max: 100_000, ..LARGE };
    let strings = |count| format!("*9\r\n{}", "$10\r\n0123456789\r\n".repeat(count)).into_bytes();
    assert_eq!(
        read_every_way(Bounds { value_bytes_max: 157, ..bounds }, &strings(9)).end,
        Ok(false)
    );
    let bounds_less = Bounds { value_bytes_max: 156, ..bounds };
    assert_eq!(error_within(bounds_less, &strings(9)), RespError::ValueTooLong);
    assert_eq!(error_within(bounds, b"*2\r\n$99990\r\n"), RespError::ValueTooLong);
    let line = |length: usize| [&b"+"[..], &vec![b'x'; length - 3], b"\r\n"].concat();
    assert_eq!(read_in_pieces(bounds, &line(65_536), &[65_536]).end, Ok(false));
    for end in [65_537, 65_535] {
        let found = read_in_pieces(bounds, &line(65_537), &[end, 65_537]);
        assert_eq!(found.end, Err(RespError::LineTooLong));
    }
    // One bound for each value, not for all of them.
    let many = b"+0123456789\r\n".repeat(1_000);
    let bounds = Bounds { value_bytes_max: 13, elements_max: 1, ..LARGE };
    assert_eq!(read_in_pieces(bounds, &many, &[many.len()]).end, Ok(false));
    let attributes = b"|1\r\n+a\r\n+b\r\n".repeat(1_000);
    let bounds = Bounds { elements_max: 100, ..LARGE };
    assert_eq!(error_within(bounds, &attributes), RespError::TooManyElements);
    let bounds = Bounds { value_bytes_max: 1_000, ..LARGE };
    assert_eq!(error_within(bounds, &b"|0\r\n".repeat(1_000)), RespError::ValueTooLong);
}

#[test]
fn attack_257_nesting_ten_thousand_deep_ends_at_the_bound() {
    for open in ["*1\r\n", "~1\r\n", "%1\r\n+k\r\n", "|1\r\n+k\r\n"] {
        assert_eq!(error(open.repeat(10_000).as_bytes()), RespError::TooDeep, "{open:?}");
        let deepest = open.repeat(16) + ":1\r\n";
        let end = read_every_way(LARGE, deepest.as_bytes()).end;
        assert_eq!(end, Ok(open.starts_with('|')), "{open:?}");
    }
    assert_eq!(error(("*1\r\n".repeat(16) + "*0\r\n").as_bytes()), RespError::TooDeep);
    // Wide is not deep, and what is closed is not open.
    let wide: String = repeat_n("*1\r\n*0\r\n", 10_000).collect();
    assert!(matches!(value(format!("*10000\r\n{wide}").as_bytes()), Value::Array(_)));
}

#[test]
fn a_long_string_in_pieces_is_kept_in_at_most_twice_its_bytes_and_at_last_in_no_more_than_it_has() {
    let mut decoder = Decoder::new(LARGE);
    assert_eq!(decoder.read(b"$1048576\r\n"), Ok((10, None)));
    let piece = [b'x'; 1_000];
    for count in 1..=1_048 {
        assert_eq!(decoder.read(&piece), Ok((1_000, None)));
        assert!(decoder.held_bytes() <= 2_000 * count, "{} of {count}", decoder.held_bytes());
    }
    let (count, value) = decoder.read(&[&[b'x'; 576][..], b"\r\n"].concat()).unwrap();
    let bytes = value.and_then(Value::into_bytes).unwrap();
    assert_eq!((count, bytes.len(), bytes.capacity()), (578, 1 << 20, 1 << 20));
    assert_eq!(decoder.held_bytes(), 0, "an idle connection holds nothing");
}

#[test]
fn every_error_says_something_of_its_own() {
    use RespError::*;
    let all = [
        Tls,
        UnknownType(b'H'),
        Streamed,
        LineEnd,
        LineTooLong,
        Length,
        Scalar,
        StringTooLong,
        StringEnd,
        Verbatim,
        ValueTooLong,
        TooManyElements,
        TooDeep,
        NestedPush,
    ];
    for (index, error) in all.iter().enumerate() {
        assert!(all[..index].iter().all(|other| other.reason() != error.reason()), "{error}");
    }
}
