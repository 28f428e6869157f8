//! Single publishes against a server that does what a script says.

use clap::Parser;

use super::*;
use crate::cli::scripted::{Step, answer, serve, whole};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: PublishArguments,
}

fn publish_text(flags: &[&str], steps: Vec<Step>) -> (Result<String, Failure>, Vec<String>) {
    let (url, serving) = serve(steps);
    let line = ["publish", "a b", "--url", &url].into_iter().chain(flags.iter().copied());
    let arguments = Line::parse_from(line).arguments;
    let base = BaseUrl::parse(&url).unwrap();
    let key = arguments.key.clone().unwrap_or_else(new_key);
    let outcome = publish_one(&arguments, &base, &key, b"hello");
    (outcome, serving.join().unwrap())
}

fn created() -> Step {
    answer(whole("201 Created", "", "{\"topic\":\"a b\",\"id\":\"e-7\"}"))
}

fn key_of(request: &str) -> &str {
    request.split("Idempotency-Key: ").nth(1).unwrap().split("\r\n").next().unwrap()
}

#[test]
fn a_payload_is_posted_with_what_is_known_about_it() {
    let flags = ["--event", "e/d", "--type", "text/x; charset=utf-8", "--key", "k1"];
    let (outcome, requests) = publish_text(&flags, vec![created()]);
    assert_eq!(outcome.unwrap(), "e-7");
    let request = &requests[0];
    assert!(request.starts_with("POST /topics/a%20b?event=e%2Fd HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nContent-Type: text/x; charset=utf-8\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nhello"), "{request}");
    assert_eq!(key_of(request), "k1");
}

#[test]
fn json_is_said_and_nothing_else_is_guessed() {
    let (_, requests) = publish_text(&["--json"], vec![created()]);
    assert!(requests[0].contains("\r\nContent-Type: application/json\r\n"));
    let (_, requests) = publish_text(&[], vec![created()]);
    assert!(!requests[0].contains("Content-Type"));
}

#[test]
fn a_loss_or_a_temporary_refusal_is_repeated_with_the_same_key() {
    let steps = vec![
        answer(""),
        answer(whole("503 Service Unavailable", "Retry-After: 0\r\n", "")),
        answer(whole("429 Too Many Requests", "Retry-After: 0\r\n", "")),
        created(),
    ];
    let (outcome, requests) = publish_text(&[], steps);
    assert_eq!(outcome.unwrap(), "e-7");
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| key_of(request) == key_of(&requests[0])));
    assert!(key_of(&requests[0]).len() > 20);
}

#[test]
fn a_refusal_for_good_is_not_repeated_and_tries_are_counted() {
    let problem = "{\"title\":\"Content Too Large\",\"status\":413,\"detail\":\"Send less.\"}";
    let refusal = answer(whole("413 Content Too Large", "", problem));
    let (outcome, _) = publish_text(&[], vec![refusal]);
    let Err(Failure::Final(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "the server refused: 413 Content Too Large: Send less.");
    let busy = || answer(whole("503 Service Unavailable", "Retry-After: 0\r\n", ""));
    let (outcome, requests) = publish_text(&["--retries", "2"], vec![busy(), busy(), busy()]);
    assert!(matches!(outcome, Err(Failure::Lost { .. })), "{outcome:?}");
    assert_eq!(requests.len(), 3);
}

#[test]
fn what_cannot_be_a_field_value_is_refused() {
    assert!(parse_key("").is_err());
    assert!(parse_key("a b").is_err());
    assert!(parse_key(&"k".repeat(129)).is_err());
    assert!(parse_field_value("text/plain\r\nX: y").is_err());
    assert_eq!(parse_field_value(" text/plain ").unwrap(), "text/plain");
    assert_ne!(new_key(), new_key());
}
