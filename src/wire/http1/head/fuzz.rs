//! What must hold of any head, whatever is sent.

use super::super::percent_decode;
use super::*;
use crate::fuzzing::arrivals;

/// Small, so that short inputs reach them.
const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 2_048, target_bytes_max: 256, fields_max: 16 };
/// What a head may be refused with (docs/protocol.md 15.1).
const STATUSES: [u16; 8] = [400, 413, 414, 417, 421, 431, 501, 505];

/// For fuzzing: searches and parses `bytes`, a head or the beginning of one.
///
/// # Panics
/// If the head ends elsewhere when it arrives in pieces; if it is refused with a status that is not
/// documented; if one that is taken could be understood in another way than ours: by `httparse`, by its
/// lines, or by ourselves when it is written anew.
pub fn fuzz_head(bytes: &[u8]) {
    let mut outcomes = arrivals(bytes).into_iter().map(|ends| {
        let mut search = HeadSearch::default();
        let mut answers = ends.into_iter().map(|end| search.find_end(&bytes[..end], &LIMITS));
        answers.find(|answer| !matches!(answer, Ok(None))).unwrap_or(Ok(None))
    });
    let found = outcomes.next().expect("it arrives at once");
    assert!(outcomes.all(|other| other == found), "the end depends on how the head was split");
    let end = match found {
        Ok(None) => return,
        Ok(Some(end)) => end,
        Err(error) => return check_error(error),
    };
    match parse_head(&bytes[..end], &LIMITS) {
        Ok(head) => {
            check_promises(&head);
            check_lines(&bytes[..end], &head);
            check_elsewhere(&bytes[..end], &head);
            check_written_anew(&head);
        }
        Err(error) => check_error(error),
    }
}

fn check_error(error: HeadError) {
    assert!(STATUSES.contains(&error.status().code()), "{error:?}");
}

/// What [`Head`] says of itself.
fn check_promises(head: &Head<'_>) {
    let is_special = head.path == "*" || head.method == Method::Connect;
    assert!(head.path.starts_with('/') || is_special, "a path begins with a slash");
    assert!(!head.path.contains(['?', '#']) && !head.query.contains('#'));
    assert!(percent_decode(head.path).is_ok() && percent_decode(head.query).is_ok());
    if head.version == Version::Http10 {
        assert!(head.framing != Framing::Chunked && !head.expects_continue);
        assert!(!head.upgrades_to_websocket);
    }
    for (name, _) in SINGLETONS {
        assert!(head.fields(name).count() <= 1, "{name} twice");
    }
}

/// No reader of lines can see another request in it: smuggling begins where two readers disagree.
fn check_lines(bytes: &[u8], head: &Head<'_>) {
    let text = bytes.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    assert!(!text.contains(&0), "NUL");
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    let mut lines: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| match line.strip_suffix(b"\r") {
            Some(line) => line,
            None if at + 1 == lines.len() => line,
            None => panic!("a bare LF"),
        })
        .skip_while(|line| line.is_empty())
        .collect();
    assert!(lines.iter().all(|line| !line.is_empty() && !line.contains(&b'\r')), "a bare CR");
    assert_eq!(lines.remove(0).split(|byte| *byte == b' ').count(), 3);
    assert_eq!(lines.len(), head.fields.len());
    let mut lengths = 0;
    let mut codings = 0;
    for (line, (name, value)) in lines.iter().zip(&head.fields) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
        assert!(colon > 0 && line[..colon].iter().all(u8::is_ascii_graphic));
        assert_eq!((&line[..colon], line[colon + 1..].trim_ascii()), (name.as_bytes(), *value));
        lengths += usize::from(name.eq_ignore_ascii_case("content-length"));
        codings += usize::from(name.eq_ignore_ascii_case("transfer-encoding"));
    }
    match head.framing {
        Framing::None => assert_eq!((lengths, codings), (0, 0)),
        Framing::Length(length) => {
            assert_eq!((lengths, codings), (1, 0));
            let field = head.field("Content-Length").expect("it is there");
            let digits = str::from_utf8(field).expect("digits");
            assert!(!digits.starts_with('+'));
            assert_eq!(digits.parse(), Ok(length));
        }
        Framing::Chunked => assert_eq!((lengths, codings), (0, 1)),
    }
}

/// `httparse` reads the same.
fn check_elsewhere(bytes: &[u8], head: &Head<'_>) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    let end = request.parse(bytes).expect("others take what we take");
    assert_eq!(end, httparse::Status::Complete(bytes.len()));
    assert_eq!(request.version, Some(u8::from(head.version == Version::Http11)));
    let target = request.path.expect("a target");
    assert!(target.contains(head.query) && target.contains(head.path.trim_start_matches('/')));
    let theirs = request.headers.iter().map(|field| (field.name, trim_ows(field.value)));
    assert!(theirs.eq(head.fields.iter().copied()));
}

/// What was understood, written as plainly as can be, is understood in the same way.
fn check_written_anew(head: &Head<'_>) {
    let method = match head.method {
        // Its target has another form, and of an unknown one the name is gone.
        Method::Connect | Method::Unknown => return,
        method => format!("{method:?}").to_uppercase(),
    };
    let version = if head.version == Version::Http11 { "1.1" } else { "1.0" };
    let query = if head.query.is_empty() { String::new() } else { format!("?{}", head.query) };
    let mut text = format!("{method} {}{query} HTTP/{version}\r\n", head.path).into_bytes();
    let mut fields = head.fields.clone();
    // An absolute target says it in its own words.
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    fields.push(("Host", head.host.as_bytes()));
    for (name, value) in &fields {
        text.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let roomy = HeadLimits { head_bytes_max: 8_192, target_bytes_max: 512, fields_max: 17 };
    assert_eq!(HeadSearch::default().find_end(&text, &roomy), Ok(Some(text.len())));
    let again = parse_head(&text, &roomy).expect("what was taken is taken again");
    assert_eq!((again.method, again.version), (head.method, head.version));
    assert_eq!((again.path, again.query), (head.path, head.query));
    assert_eq!((again.framing, again.persistent), (head.framing, head.persistent));
    assert_eq!(again.expects_continue, head.expects_continue);
    assert_eq!(again.upgrades_to_websocket, head.upgrades_to_websocket);
    assert_eq!(again.host, head.host);
}

#[test]
fn the_corpus_of_heads_keeps_every_promise() {
    crate::fuzzing::replay("head", fuzz_head);
}
