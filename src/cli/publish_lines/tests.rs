//! Streamed publishes against a server that does what a script says.

use std::io::{BufReader, Cursor, Read};
use std::sync::mpsc;

use clap::Parser;

use super::*;
use crate::cli::scripted::{Step, answer, read_until, serve, whole};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: PublishArguments,
}

fn arguments(flags: &[&str]) -> PublishArguments {
    let line = ["publish", "logs", "--lines", "--quiet"].into_iter().chain(flags.iter().copied());
    Line::parse_from(line).arguments
}

fn publish_lines(
    flags: &[&str],
    input: impl BufRead + Send + 'static,
    steps: Vec<Step>,
) -> (Result<bool, Failure>, Vec<String>) {
    let (url, serving) = serve(steps);
    let base = BaseUrl::parse(&url).unwrap();
    let outcome = publish(&arguments(flags), &base, "K".to_owned(), input);
    (outcome, serving.join().unwrap())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

fn chunk(line: &str) -> String {
    format!("{:x}\r\n{line}\n\r\n", line.len() + 1)
}

/// Answers the first lines one by one, reads the rest, and ends the answer only if it is to finish.
fn answer_lines(answered: usize, finish: bool) -> Step {
    Box::new(move |mut stream| {
        let mut request = read_until(&mut stream, "\r\n\r\n");
        stream.write_all(HEAD.as_bytes()).unwrap();
        for number in 1..=answered {
            request += &read_until(&mut stream, "}\n");
            stream
                .write_all(chunk(&format!("{{\"line\":{number},\"id\":\"e\"}}")).as_bytes())
                .unwrap();
        }
        // All of it is read in any case: closing before would take back the answers on their way.
        request += &read_until(&mut stream, "0\r\n\r\n");
        if finish {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        request
    })
}

/// The message lines of a request.
fn messages(request: &str) -> Vec<&str> {
    request.lines().filter(|line| line.starts_with('{')).collect()
}

#[test]
fn lines_become_messages_with_keys() {
    let input = Cursor::new("a\n\n\"b\"\r\n");
    let (outcome, requests) = publish_lines(&["--event", "e"], input, vec![answer_lines(3, true)]);
    assert!(outcome.unwrap());
    assert!(requests[0].starts_with("POST /topics HTTP/1.1\r\n"));
    assert_eq!(
        messages(&requests[0]),
        [
            r#"{"topic":"logs","event":"e","key":"K-1","data":"a"}"#,
            r#"{"topic":"logs","event":"e","key":"K-2","data":""}"#,
            r#"{"topic":"logs","event":"e","key":"K-3","data":"\"b\""}"#,
        ]
    );
}

#[test]
fn a_line_is_published_while_the_input_goes_on() {
    /// Gives its second line only after the first one was answered.
    struct Paced {
        first: Cursor<&'static [u8]>,
        answered: Option<mpsc::Receiver<()>>,
    }
    impl Read for Paced {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let taken = self.first.read(out)?;
            if taken > 0 {
                return Ok(taken);
            }
            let Some(answered) = self.answered.take() else { return Ok(0) };
            answered.recv_timeout(Duration::from_secs(20)).map_err(io::Error::other)?;
            (&b"second\n"[..]).read(out)
        }
    }
    let (sender, receiver) = mpsc::channel();
    let input = Paced { first: Cursor::new(b"first\n"), answered: Some(receiver) };
    let step: Step = Box::new(move |mut stream| {
        let mut request = read_until(&mut stream, "\"first\"}\n");
        stream.write_all((HEAD.to_owned() + &chunk("{\"line\":1}")).as_bytes()).unwrap();
        sender.send(()).unwrap();
        request += &read_until(&mut stream, "0\r\n\r\n");
        stream.write_all((chunk("{\"line\":2}") + "0\r\n\r\n").as_bytes()).unwrap();
        request
    });
    let (outcome, requests) = publish_lines(&[], BufReader::new(input), vec![step]);
    assert!(outcome.unwrap());
    assert_eq!(messages(&requests[0]).len(), 2);
}

#[test]
fn what_was_not_answered_is_sent_again_with_its_key() {
    let input = Cursor::new("a\nb\nc\n");
    let steps = vec![answer_lines(2, false), answer_lines(1, true)];
    let (outcome, requests) = publish_lines(&[], input, steps);
    assert!(outcome.unwrap());
    assert_eq!(messages(&requests[1]), [r#"{"topic":"logs","key":"K-3","data":"c"}"#]);
}

#[test]
fn a_temporary_refusal_is_repeated_and_a_final_one_is_not() {
    let busy = answer(whole("503 Service Unavailable", "Retry-After: 0\r\n", ""));
    let (outcome, _) = publish_lines(&[], Cursor::new("a\n"), vec![busy, answer_lines(1, true)]);
    assert!(outcome.unwrap());
    let problem = "{\"title\":\"Forbidden\",\"status\":403,\"detail\":\"No.\"}";
    let refusal = answer(whole("403 Forbidden", "", problem));
    let (outcome, _) = publish_lines(&[], Cursor::new("a\n"), vec![refusal]);
    let Err(Failure::Final(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "the server refused: 403 Forbidden: No.");
}

#[test]
fn a_refused_line_fails_the_whole_but_not_the_lines_behind_it() {
    let step: Step = Box::new(|mut stream| {
        let request = read_until(&mut stream, "0\r\n\r\n");
        let error = "{\"line\":1,\"error\":{\"status\":413,\"title\":\"Content Too Large\"}}";
        let answers =
            [HEAD, &chunk(error), &chunk("{\"line\":2,\"id\":\"e\"}"), "0\r\n\r\n"].concat();
        stream.write_all(answers.as_bytes()).unwrap();
        request
    });
    let (outcome, requests) = publish_lines(&[], Cursor::new("a\nb"), vec![step]);
    assert!(!outcome.unwrap());
    assert_eq!(messages(&requests[0]).len(), 2);
}

#[test]
fn json_lines_are_checked_here() {
    let input = Cursor::new("{\"a\": 1}\n\nnope\n\"s\"\n");
    let (outcome, requests) = publish_lines(&["--json"], input, vec![answer_lines(2, true)]);
    assert!(!outcome.unwrap());
    assert_eq!(
        messages(&requests[0]),
        [
            r#"{"topic":"logs","key":"K-1","content_type":"application/json","data":{"a": 1}}"#,
            r#"{"topic":"logs","key":"K-4","content_type":"application/json","data":"s"}"#,
        ]
    );
}

#[test]
fn bytes_that_are_not_text_travel_as_base64() {
    let encoded = encode_line(&arguments(&[]), "k", b"\xFF").unwrap();
    let expected = r#"{"topic":"logs","key":"k","content_type":"application/octet-stream","#
        .to_owned()
        + "\"encoding\":\"base64\",\"data\":\"/w==\"}\n";
    assert_eq!(String::from_utf8(encoded).unwrap(), expected);
    let encoded = encode_line(&arguments(&["--type", "image/x"]), "k", b"a").unwrap();
    assert!(String::from_utf8(encoded).unwrap().contains(r#""content_type":"image/x","encoding""#));
}

#[test]
fn no_lines_need_no_connection() {
    let (outcome, _) = publish_lines(&[], Cursor::new(""), vec![]);
    assert!(outcome.unwrap());
}

#[test]
fn many_lines_pass_through_the_window() {
    let input: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    let step: Step = Box::new(|stream| {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let mut count = 0;
        reader.get_mut().write_all(HEAD.as_bytes()).unwrap();
        while reader.read_line(&mut line).unwrap() > 0 && !line.starts_with("0\r") {
            if line.starts_with('{') {
                count += 1;
                reader.get_mut().write_all(chunk("{}").as_bytes()).unwrap();
            }
            line.clear();
        }
        reader.get_mut().write_all(b"0\r\n\r\n").unwrap();
        count.to_string()
    });
    let (outcome, counts) = publish_lines(&[], Cursor::new(input), vec![step]);
    assert!(outcome.unwrap());
    assert_eq!(counts, ["10000"]);
}

#[test]
fn no_more_lines_are_taken_than_may_be_without_an_answer() {
    let input: String = (0..WINDOW_LINES_MAX + 100).map(|number| format!("{number}\n")).collect();
    let step: Step = Box::new(|stream| {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let mut count = 0;
        while count < WINDOW_LINES_MAX {
            line.clear();
            reader.read_line(&mut line).unwrap();
            count += usize::from(line.starts_with('{'));
        }
        // The end of the chunk, and then nothing.
        reader.read_line(&mut line).unwrap();
        let patience = Some(Duration::from_millis(200));
        reader.get_ref().set_read_timeout(patience).unwrap();
        let beyond = reader.read_line(&mut line).unwrap_err();
        let refusal = whole("403 Forbidden", "", "");
        reader.get_mut().write_all(refusal.as_bytes()).unwrap();
        format!("{:?}", beyond.kind())
    });
    let (outcome, beyond) = publish_lines(&[], Cursor::new(input), vec![step]);
    assert!(matches!(outcome, Err(Failure::Final(_))), "{outcome:?}");
    assert_eq!(beyond, ["WouldBlock"]);
}
