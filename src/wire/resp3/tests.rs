//! The examples of the specification, what they are when cut anywhere, and what a hostile peer sends.

use super::*;
use crate::fuzzing::arrivals;

/// As generous as a connection's.
const BOUNDS: Bounds =
    Bounds { bytes_max: 1 << 20, value_bytes_max: 1 << 22, depth_max: 16, elements_max: 1 << 16 };

/// All values of `input`, which arrives as it may; then the error, or how many bytes are left within a value.
type Found = (Vec<Value>, Result<bool, RespError>);

fn read_all(bounds: Bounds, input: &[u8], ends: &[usize]) -> Found {
    let mut decoder = Decoder::new(bounds);
    let (mut values, mut taken) = (Vec::new(), 0);
    for end in ends {
        while taken < *end {
            match decoder.read(&input[taken..*end]) {
                Ok((count, value)) => {
                    taken += count;
                    assert!(value.is_some() || taken == *end);
                    values.extend(value);
                }
                Err(error) => return (values, Err(error)),
            }
        }
    }
    (values, Ok(decoder.is_within_value()))
}

/// The same, once for every way to arrive.
fn read(bounds: Bounds, input: &[u8]) -> Found {
    let mut found: Vec<_> =
        arrivals(input).iter().map(|ends| read_all(bounds, input, ends)).collect();
    let last = found.pop().unwrap();
    for other in found {
        assert_eq!(format!("{other:?}"), format!("{last:?}"), "{input:?}");
    }
    last
}

fn value(input: &[u8]) -> Value {
    let (mut values, end) = read(BOUNDS, input);
    assert_eq!((values.len(), end), (1, Ok(false)), "{values:?}");
    values.pop().unwrap()
}

fn error(input: &[u8]) -> RespError {
    let (_, end) = read(BOUNDS, input);
    end.expect_err("an error")
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

#[test]
fn the_examples_of_the_specification_are_read() {
    use Value::{Array, Boolean, Double, Integer, Map, Null, Push, Set};
    let cases: [(&[u8], Value); 27] = [
        (b"$11\r\nhello world\r\n", bulk("hello world")),
        (b"$0\r\n\r\n", bulk("")),
        (b"+hello world\r\n", simple("hello world")),
        (b"-ERR this is the error description\r\n", Value::Error(b"ERR this is the error description".into())),
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
        (b"(3492890328409238509324850943850943825024385\r\n", Value::BigNumber(b"3492890328409238509324850943850943825024385".into())),
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
            b"|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n*2\r\n:2039123\r\n:9543892\r\n",
            Array(vec![Integer(2_039_123), Integer(9_543_892)]),
        ),
        (
            b"*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n",
            Array(vec![Integer(1), Integer(2), Integer(3)]),
        ),
        (
            b">4\r\n+pubsub\r\n+message\r\n+somechannel\r\n+this is the message\r\n",
            Push(vec![simple("pubsub"), simple("message"), simple("somechannel"), simple("this is the message")]),
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
