//! `tidings publish`: one message, or each line of the input as one.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Deserialize;

use super::base_url::BaseUrl;
use super::coming_back::{BackOff, Failure};
use super::http::{Connection, USER_AGENT};
use super::publish_lines;

/// How long an answer may keep a single publish waiting.
const SILENCE_MAX: Duration = Duration::from_secs(45);

const EXAMPLES: &str = "\
Examples:
  tidings publish news 'hello'                  text; prints the message's id
  tidings publish news --json '{\"score\":3}'     JSON
  tidings publish news --file logo.png --type image/png
  date | tidings publish news                   standard input, whole, as one message
  tail -f app.log | tidings publish logs --lines
                                                each line as a message, as soon as it is there
  tidings publish logs --lines --file app.log --key app.log
                                                the same key again publishes nothing twice

A lost connection or a temporary refusal is repeated, after a random, growing delay or the one that
the server asked for. Every message carries an idempotency key, so nothing is doubled as long as the
server remembers it (two minutes, unless it was told otherwise).

Exit codes: 0 when everything was published; 1 when something was refused or the server stayed away
(the reason is on standard error); 2 when the command line is wrong.";

/// The flags of `tidings publish`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct PublishArguments {
    /// Topic to publish to
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) topic: String,
    /// The payload; `-` or nothing at all: standard input
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// Read the payload from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Publish each line of the input as a message, as it arrives
    #[arg(long)]
    lines: bool,
    /// The payload (with --lines: each line) is JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Event name
    #[arg(long, value_name = "NAME")]
    pub(super) event: Option<String>,
    /// Content type; otherwise text if the payload is UTF-8, binary if not
    #[arg(long = "type", value_name = "CONTENT_TYPE", value_parser = parse_field_value)]
    pub(super) content_type: Option<String>,
    /// Idempotency key; a second publish with it does nothing (--lines: KEY-1, KEY-2 ...)
    #[arg(long, value_name = "IDEMPOTENCY_KEY", value_parser = parse_key)]
    key: Option<String>,
    /// How often in a row to try again
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) retries: u32,
    /// Print neither ids nor progress
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Base URL of the server
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

/// Runs the command; returns what to exit with.
#[must_use]
pub fn run(arguments: &PublishArguments) -> ExitCode {
    match publish(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("tidings: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Publishes what was asked for; `false` when some of it was refused.
fn publish(arguments: &PublishArguments) -> Result<bool, Failure> {
    let base = BaseUrl::parse(&arguments.url).map_err(Failure::Final)?;
    let key = arguments.key.clone().unwrap_or_else(new_key);
    let text = arguments.text.as_deref().filter(|text| *text != "-");
    if arguments.lines {
        return match text {
            Some(text) => {
                publish_lines::publish(arguments, &base, key, io::Cursor::new(text.to_owned()))
            }
            None => {
                publish_lines::publish(arguments, &base, key, io::BufReader::new(open(arguments)?))
            }
        };
    }
    let payload = match text {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let mut payload = Vec::new();
            open(arguments)?.read_to_end(&mut payload).map_err(Failure::Local)?;
            payload
        }
    };
    let id = publish_one(arguments, &base, &key, &payload)?;
    if !arguments.quiet {
        println!("{id}");
    }
    Ok(true)
}

/// The file or standard input.
fn open(arguments: &PublishArguments) -> Result<Input, Failure> {
    let Some(path) = &arguments.file else {
        if io::stdin().is_terminal() && !arguments.quiet {
            eprintln!("tidings: reading the terminal; end with Ctrl-D");
        }
        return Ok(Input::Stdin(io::stdin()));
    };
    File::open(path)
        .map(Input::File)
        .map_err(|error| Failure::Final(format!("cannot read {}: {error}", path.display())))
}

/// Where payloads are read from.
enum Input {
    Stdin(io::Stdin),
    File(File),
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Stdin(stdin) => stdin.read(out),
            Input::File(file) => file.read(out),
        }
    }
}

/// Publishes one payload, again and again until it is answered; returns its id.
fn publish_one(
    arguments: &PublishArguments,
    base: &BaseUrl,
    key: &str,
    payload: &[u8],
) -> Result<String, Failure> {
    let query: Vec<_> = arguments.event.iter().map(|event| ("event", event.clone())).collect();
    let target = base.target(std::slice::from_ref(&arguments.topic), &query);
    let mut head = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\n{USER_AGENT}Content-Length: {}\r\n\
         Idempotency-Key: {key}\r\n",
        base.authority(),
        payload.len()
    );
    let json = arguments.json.then_some("application/json");
    if let Some(content_type) = arguments.content_type.as_deref().or(json) {
        head.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    head.push_str("\r\n");
    let mut back_off = BackOff::default();
    loop {
        match attempt(base, &head, payload) {
            Err(Failure::Lost { why, hint }) => {
                wait_to_retry(&mut back_off, arguments.retries, why, hint)?;
            }
            outcome => return outcome,
        }
    }
}

fn attempt(base: &BaseUrl, head: &str, payload: &[u8]) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Published {
        id: String,
    }
    let mut connection = Connection::open(base, SILENCE_MAX)?;
    let answer = connection.post(head, payload)?;
    if !matches!(answer.status, 200..=299) {
        return Err(connection.refusal(&answer));
    }
    let body = connection.read_body(&answer)?;
    let published: Published = serde_json::from_slice(&body)
        .map_err(|_| Failure::Final(format!("{base} does not answer like tidings")))?;
    Ok(published.id)
}

/// Says what happened and waits, unless there were too many failures in a row.
pub(super) fn wait_to_retry(
    back_off: &mut BackOff,
    retries: u32,
    why: String,
    hint: Option<Duration>,
) -> Result<(), Failure> {
    if back_off.attempts() >= retries {
        return Err(Failure::Lost { why, hint });
    }
    let delay = back_off.next_delay(hint);
    eprintln!("tidings: {why}; trying again in {:.1} s", delay.as_secs_f64());
    std::thread::sleep(delay);
    Ok(())
}

/// An idempotency key that nobody else has: the time and 64 random bits.
fn new_key() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:016x}", now.as_micros(), fastrand::u64(..))
}

fn parse_key(text: &str) -> Result<String, String> {
    // Protocol 5.2; with --lines a number is appended.
    if !(1..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("give 1 to 128 visible ASCII characters".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_field_value(text: &str) -> Result<String, String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if text.trim().is_empty() || !visible {
        return Err("give something like text/plain, in ASCII".to_owned());
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
