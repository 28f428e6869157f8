//! `tidings subscribe`: waits on topics and prints what is published, whatever happens in between.

mod output;
mod polls;
mod streams;
mod websocket;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::base_url::BaseUrl;
use super::coming_back::{BackOff, Failure, hint_from_ms};
use output::Output;

const EXAMPLES: &str = "\
Examples:
  tidings subscribe news                      payloads, a line each, from now on
  tidings subscribe news,sport --json         two topics; envelopes that say which
  tidings subscribe news --after earliest     all that is retained, then what comes
  tidings subscribe news --last 10 --count 10 the last ten, then exit
  tidings subscribe news --json | jq .id      cursors; give one back with --after
  tidings subscribe news --via long-poll      the same messages over another wire

A lost connection is taken up again where it was cut, after a random, growing delay or the one that
the server asked for. Messages that the server no longer has are named on standard error:
  gap: 3 messages of \"news\" are gone

Over sse, --json knows only id, event and data (and the topic, if there is one), data is always a
string, and a binary payload comes as the base64 text that the server sends. The other wires know
everything.

Exit codes: 0 after --count messages or when the reader of standard output is gone; 1 when the
server refuses for good (the reason is on standard error); 2 when the command line is wrong.";

/// The flags of `tidings subscribe`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SubscribeArguments {
    /// Topics to wait on, separated by commas
    #[arg(value_name = "TOPIC[,TOPIC...]", required = true, value_delimiter = ',',
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    topics: Vec<String>,
    /// How to wait
    #[arg(long, value_enum, default_value_t = Via::Sse)]
    via: Via,
    /// Start behind this cursor (an `id` or `cursor` the server gave out), or `earliest`, `latest`
    #[arg(long, value_name = "CURSOR", default_value = "latest")]
    after: String,
    /// Start this many messages before the newest
    #[arg(long, value_name = "N", conflicts_with = "after")]
    last: Option<u64>,
    /// Exit after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print envelopes, one JSON object a line, instead of payloads
    #[arg(long)]
    json: bool,
    /// Pause between polls that found nothing more (--via poll)
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    interval: Duration,
    /// Take the connection for dead when nothing was heard on it for this long
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = parse_silence)]
    silence_max: Duration,
    /// Base URL of the server
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

/// The wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Server-Sent Events
    Sse,
    /// WebSocket, subprotocol tidings.json
    Websocket,
    /// One request after another, each held until there is something
    LongPoll,
    /// One request after another, --interval apart
    Poll,
    /// One endless answer, a JSON object a line
    Ndjson,
}

/// Runs the command; returns what to exit with.
#[must_use]
pub fn run(arguments: &SubscribeArguments) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match follow(arguments, &mut stdout, &mut io::stderr()) {
        Ok(()) => ExitCode::SUCCESS,
        // `tidings subscribe news | head -1` has ended well.
        Err(Failure::Local(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Local(error)) => {
            eprintln!("tidings: cannot print: {error}");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("tidings: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints messages until there were enough (`Ok`) or coming back would not help.
fn follow(
    arguments: &SubscribeArguments,
    payloads: &mut dyn Write,
    notices: &mut dyn Write,
) -> Result<(), Failure> {
    let base = BaseUrl::parse(&arguments.url).map_err(Failure::Final)?;
    let output = Output::new(payloads, notices, arguments.json, arguments.count);
    let mut session = Session::new(arguments, base, output);
    let mut back_off = BackOff::default();
    loop {
        let outcome = match arguments.via {
            Via::Sse => streams::follow_events(&mut session),
            Via::Ndjson => streams::follow_ndjson(&mut session),
            Via::Websocket => websocket::follow(&mut session),
            Via::LongPoll => polls::follow(&mut session, None),
            Via::Poll => polls::follow(&mut session, Some(arguments.interval)),
        };
        let (why, hint) = match outcome {
            Err(Failure::Lost { why, hint }) => (why, hint.or(session.hint.take())),
            outcome => return outcome,
        };
        if std::mem::take(&mut session.heard) {
            back_off.reset();
        }
        let delay = back_off.next_delay(hint);
        session.output.notice(&format!("{why}; coming back in {:.1} s", delay.as_secs_f64()))?;
        std::thread::sleep(delay);
    }
}

/// A subscription that outlives its connections.
struct Session<'o> {
    base: BaseUrl,
    /// Each once, in the order given.
    topics: Vec<String>,
    /// Where to begin while there is no cursor.
    start: (&'static str, String),
    /// What has been received and printed; `None` until the server gave a first cursor.
    cursor: Option<String>,
    /// When the server would like this client to come back, if it said so on this connection.
    hint: Option<Duration>,
    /// Whether the present connection has brought anything: then its loss is a first failure.
    heard: bool,
    silence_max: Duration,
    output: Output<'o>,
}

impl<'o> Session<'o> {
    fn new(arguments: &SubscribeArguments, base: BaseUrl, output: Output<'o>) -> Session<'o> {
        let mut topics: Vec<String> = Vec::new();
        for topic in &arguments.topics {
            // Protocol 1.3: a name that is given twice counts once.
            if !topics.contains(topic) {
                topics.push(topic.clone());
            }
        }
        let start = match arguments.last {
            Some(last) => ("last", last.to_string()),
            None => ("after", arguments.after.clone()),
        };
        Session {
            base,
            topics,
            start,
            cursor: None,
            hint: None,
            heard: false,
            silence_max: arguments.silence_max,
            output,
        }
    }

    /// The topic, if there is only one: then every message is of it.
    fn only_topic(&self) -> Option<&str> {
        match &self.topics[..] {
            [topic] => Some(topic),
            _ => None,
        }
    }

    /// The request target that goes on where this session stands.
    fn target(&self, wait: Option<u64>) -> String {
        let mut query = vec![match &self.cursor {
            Some(cursor) => ("after", cursor.clone()),
            None => self.start.clone(),
        }];
        query.extend(wait.map(|seconds| ("wait", seconds.to_string())));
        self.base.target(&self.topics, &query)
    }

    /// Everything up to here was received.
    fn advance(&mut self, cursor: &str) {
        self.heard = true;
        // Nothing is known by an empty cursor; the one before is better.
        if !cursor.is_empty() {
            self.cursor = Some(cursor.to_owned());
        }
    }

    /// The server says when to come back.
    fn take_hint(&mut self, retry_ms: Option<u64>) {
        self.hint = retry_ms.map(hint_from_ms).or(self.hint);
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_owned())?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("give a number of seconds from 0 to 86400".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn parse_silence(text: &str) -> Result<Duration, String> {
    let silence = parse_seconds(text)?;
    if silence < Duration::from_millis(10) {
        return Err("give at least 0.01 seconds".to_owned());
    }
    Ok(silence)
}

#[cfg(test)]
mod tests;
