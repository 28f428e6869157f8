//! What a head means, and which heads are refused. The vectors in tests/vectors/http1-heads.md go
//! further; here are the parts that no vector can show.

use super::super::properties::{LIMITS, mutations};
use super::*;

fn parse(head: &str) -> Result<Head<'_>, HeadError> {
    parse_head(head.as_bytes(), &LIMITS)
}

/// A GET with `fields`, lines with CRLF.
fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn fields_are_found_in_any_case_and_without_white_space() {
    let text = with_fields("X-A: \t b c \t\r\nx-a:d\r\nX-Empty:\r\nX-Blank:  \r\n");
    let head = parse(&text).unwrap();
    assert_eq!(head.field("x-A"), Some(&b"b c"[..]));
    assert_eq!(head.fields("X-A").collect::<Vec<_>>(), [&b"b c"[..], b"d"]);
    assert_eq!(head.field("X-Empty"), Some(&b""[..]));
    assert_eq!(head.field("X-Blank"), Some(&b""[..]));
    assert_eq!(head.field("X-B"), None);
}

#[test]
fn a_list_goes_over_all_lines_and_skips_empty_members() {
    let text = with_fields("X-L: a, ,\"b,c\" ,\r\nY: z\r\nX-L: d\r\n");
    let head = parse(&text).unwrap();
    assert_eq!(head.list("X-L").collect::<Vec<_>>(), [&b"a"[..], b"\"b,c\"", b"d"]);
}

#[test]
fn persistence_follows_the_version_and_connection() {
    let persistent = |version: &str, connection: &str| {
        let text = format!("GET / {version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
        parse(&text).unwrap().persistent
    };
    assert!(persistent("HTTP/1.1", ""));
    assert!(persistent("HTTP/1.1", "closed, x"));
    assert!(!persistent("HTTP/1.1", "keep-alive, CLOSE"));
    assert!(!persistent("HTTP/1.0", ""));
    assert!(persistent("HTTP/1.0", "Keep-Alive"));
    assert!(!persistent("HTTP/1.0", "keep-alive, close"));
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrades = |version: &str, upgrade: &str, connection: &str| {
        let text = format!(
            "GET / {version}\r\nHost: a\r\nUpgrade: {upgrade}\r\nConnection: {connection}\r\n\r\n"
        );
        parse(&text).unwrap().upgrades_to_websocket
    };
    assert!(upgrades("HTTP/1.1", "WebSocket", "keep-alive, Upgrade"));
    assert!(upgrades("HTTP/1.1", "h2c, websocket", "upgrade"));
    assert!(!upgrades("HTTP/1.1", "websocket", "close"));
    assert!(!upgrades("HTTP/1.1", "websockets", "upgrade"));
    assert!(!upgrades("HTTP/1.0", "websocket", "upgrade"));
}

#[test]
fn an_expectation_is_met_on_http_1_1_and_ignored_on_1_0() {
    assert!(parse(&with_fields("Expect: 100-Continue\r\n")).unwrap().expects_continue);
    let other = with_fields("Expect: 200-ok\r\n");
    assert_eq!(parse(&other).unwrap_err(), HeadError::UnknownExpectation);
    let old = parse("GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n").unwrap();
    assert!(!old.expects_continue);
}

#[test]
fn every_singleton_is_refused_when_it_is_there_twice() {
    for (name, field) in SINGLETONS {
        assert_eq!(field.name(), name);
        let lower = name.to_lowercase();
        let text = with_fields(&format!("{name}: 1\r\nX: y\r\n{lower}: 1\r\n"));
        assert_eq!(parse(&text).unwrap_err(), HeadError::DuplicateField(field), "{name}");
    }
    let text = with_fields("host: a\r\n");
    assert_eq!(parse(&text).unwrap_err(), HeadError::DuplicateHost);
}

#[test]
fn as_many_fields_as_the_limit_are_taken() {
    let text = |fields: usize| with_fields(&"a: b\r\n".repeat(fields - 1));
    assert!(parse(&text(100)).is_ok());
    assert_eq!(parse(&text(101)).unwrap_err(), HeadError::TooManyFields);
    let limits = HeadLimits { fields_max: usize::MAX, ..LIMITS };
    assert!(parse_head(text(128).as_bytes(), &limits).is_ok());
    let error = parse_head(text(129).as_bytes(), &limits).unwrap_err();
    assert_eq!(error, HeadError::TooManyFields);
}

#[test]
fn a_field_name_is_a_token_wherever_the_wrong_byte_stands() {
    for byte in 0..=255u8 {
        for at in [0, 1, 15, 16, 31, 32, 40] {
            let mut name = [b'n'; 41];
            name[at] = byte;
            let fields = [&name[..], b": v\r\n\r\n"].concat();
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", &fields[..]].concat();
            let expected = super::super::grammar::is_token_byte(byte) || byte == b':' && at > 0;
            assert_eq!(parse_head(&head, &LIMITS).is_ok(), expected, "{byte:#x} at {at}");
        }
    }
}

#[test]
fn a_field_value_has_no_control_characters_wherever_they_stand() {
    for byte in 0..=255u8 {
        for at in [0, 1, 15, 16, 31, 32, 40] {
            let mut value = [b'v'; 41];
            value[at] = byte;
            let fields = [b"X: ", &value[..], b"\r\n\r\n"].concat();
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", &fields[..]].concat();
            // A line feed is a matter for HeadSearch, which comes first.
            if byte != b'\n' {
                let expected = super::super::grammar::is_field_byte(byte);
                assert_eq!(parse_head(&head, &LIMITS).is_ok(), expected, "{byte:#x} at {at}");
            }
        }
    }
}

#[test]
fn what_no_search_has_found_is_refused_without_harm() {
    for bytes in [&b""[..], b"\r\n", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n"] {
        assert!(parse_head(bytes, &LIMITS).is_err(), "{}", bytes.escape_ascii());
    }
    let two = with_fields("").repeat(2);
    assert_eq!(parse(&two).unwrap_err(), HeadError::Incomplete);
}

#[test]
fn a_head_that_is_written_is_read_back() {
    for (version, text) in [(Version::Http10, "HTTP/1.0"), (Version::Http11, "HTTP/1.1")] {
        for (path, query) in [("/", ""), ("/topics/a%20b,c", "wait=25&after=x"), ("//..", "?")] {
            let head = format!("PUT {path}?{query} {text}\r\nHost: h:1\r\nA: b\r\nC:\r\n\r\n");
            let head = parse(&head).unwrap();
            assert_eq!((head.method, head.version), (Method::Put, version));
            assert_eq!((head.path, head.query, head.host), (path, query, "h:1"));
            assert_eq!(head.fields, [("Host", &b"h:1"[..]), ("A", b"b"), ("C", b"")]);
        }
    }
}

#[test]
fn one_mistake_gives_a_head_or_a_documented_status() {
    let valid = b"\r\nPOST http://a:80/t%20?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
        Connection: keep-alive, close\r\nExpect: 100-continue\r\n\r\n";
    for input in mutations(valid) {
        fuzz_head(&input);
        let found = HeadSearch::default().find_end(&input, &LIMITS);
        let outcome = match found {
            Ok(Some(end)) => parse_head(&input[..end], &LIMITS).map(|_| ()),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            let status = error.status().code();
            let documented = [400, 413, 414, 417, 421, 431, 501, 505];
            assert!(documented.contains(&status), "{error:?}: {}", input.escape_ascii());
            assert!(error.detail().ends_with('.'));
        }
    }
}
