//! The page that `compare` writes: how it was measured, the table, and what follows from it.

use std::fmt::Write as _;

use crate::cli::bench::arguments::CompareArguments;
use crate::cli::bench::clock::seconds;
use crate::cli::bench::findings::Findings;
use crate::cli::bench::wire::Wire;

use super::compare::{COLUMNS, Received};
use super::number;

/// The longest line of the page's text.
const COLUMNS_MAX: usize = 118;

/// The page, as Markdown.
pub(super) fn page(
    findings: &Findings,
    arguments: &CompareArguments,
    received: &[Received],
) -> String {
    let mut page = String::from("# Polling, long polling, SSE, WebSocket: measured\n\n");
    how(&mut page, findings, arguments);
    let _ = writeln!(page, "\n## What each way costs\n");
    let _ = writeln!(page, "| {} |", COLUMNS.join(" | "));
    let _ = writeln!(page, "|---|{}", "---:|".repeat(COLUMNS.len() - 1));
    for one in received {
        let _ = writeln!(page, "| {} | {} |", one.title, one.cells().join(" | "));
    }
    let _ = writeln!(page, "\n## What follows\n");
    for sentence in conclusions(arguments, received) {
        page.push_str(&wrap(&format!("- {sentence}"), "  "));
    }
    for remark in &findings.remarks {
        page.push_str(&wrap(&format!("\nOf this run: {remark}"), ""));
    }
    page
}

/// How it was measured.
fn how(page: &mut String, findings: &Findings, arguments: &CompareArguments) {
    let CompareArguments { subscribers, rate, duration, common, .. } = arguments;
    let (duration, size) = (seconds(*duration), common.size);
    let machine = findings.conditions.iter().find(|(name, _)| name == "machine");
    let machine = machine.map_or("", |(_, value)| value);
    let command = format!(
        "```sh\ntidings bench compare --subscribers {subscribers} --rate {rate} --duration \
         {duration} --write docs/comparison.md\n```"
    );
    let paragraphs = [
        "Every article on the subject has this table in words. Here it is in numbers, from one command:"
            .to_owned(),
        command,
        format!(
            "How it was measured: {subscribers} clients connect and receive the same feed, \
             {rate} messages a second of {size} bytes each for {duration} seconds, first all by \
             one way, then all by the next, each time from a fresh `tidings serve` in a process \
             of its own. Everything from the first connect on is counted. Bytes are those of \
             HTTP and WebSocket, without the headers of TCP and IP (40 bytes or more for each \
             packet, both ways) and without TLS; a browser's requests carry several hundred \
             bytes of fields more than these do, which makes polling dearer still. Latency is \
             from the time a message was to be published at to its arrival at each client, over \
             loopback: what is left of it is the way itself. Clients that poll keep their \
             connections and begin at random moments. CPU is the server's, all of it, divided by \
             the messages delivered."
        ),
        format!("Machine: {machine}."),
    ];
    page.push_str(&paragraphs.map(|paragraph| wrap(&paragraph, "")).join("\n"));
}

/// What the numbers say, in sentences.
fn conclusions(arguments: &CompareArguments, received: &[Received]) -> Vec<String> {
    let of = |wire: Wire| received.iter().find(|one| one.wire == wire);
    let Some(sse) = of(Wire::Sse) else { return Vec::new() };
    let polls = received.iter().filter(|one| one.wire == Wire::ShortPoll);
    let mut sentences: Vec<String> = polls.map(|poll| about_poll(poll, sse)).collect();
    if let Some(long) = of(Wire::LongPoll) {
        sentences.push(format!(
            "A long poll is as prompt as a stream ({} ms beside {} ms), and pays for it with a \
             request for each message: {} bytes up, {} times the stream's CPU.",
            number(long.latency_ms(50.0)),
            number(sse.latency_ms(50.0)),
            number(long.bytes_up()),
            number(long.cpu_us() / sse.cpu_us()),
        ));
    }
    if let Some(websocket) = of(Wire::Websocket) {
        sentences.push(format!(
            "A WebSocket delivers as Server-Sent Events do: {} ms beside {} ms, {} µs of CPU \
             beside {} µs. It saves {} bytes a message, which are the event's `id:` and framing; \
             with them an event stream resumes by itself after a lost connection, and a raw \
             WebSocket does not.",
            number(websocket.latency_ms(50.0)),
            number(sse.latency_ms(50.0)),
            number(websocket.cpu_us()),
            number(sse.cpu_us()),
            number(sse.bytes_down() - websocket.bytes_down()),
        ));
    }
    sentences.push(format!(
        "What polling costs is per client and second, what streams cost is per message: at {} \
         messages a second the streams look this much better, at fewer they look better still. \
         Where there are several messages in each interval, the poll catches up in bytes and \
         CPU; never in latency.",
        arguments.rate
    ));
    sentences
}

fn about_poll(poll: &Received, sse: &Received) -> String {
    format!(
        "A {} asks {} times as often as an event stream, sends {} bytes up for each message that \
         comes down, and is {} ms late half the time ({} ms one time in a hundred): half of its \
         interval, and all of it.",
        poll.title,
        number(poll.tally.requests as f64 / sse.tally.requests.max(1) as f64),
        number(poll.bytes_up()),
        number(poll.latency_ms(50.0)),
        number(poll.latency_ms(99.0)),
    )
}

/// Breaks a paragraph into lines, those behind the first indented; a block of code stays as it is.
fn wrap(paragraph: &str, indent: &str) -> String {
    if paragraph.starts_with("```") {
        return format!("{paragraph}\n");
    }
    let (mut out, mut columns) = (String::new(), 0);
    for word in paragraph.split(' ') {
        let length = word.chars().count();
        if columns > 0 && columns + 1 + length > COLUMNS_MAX {
            out.push('\n');
            out.push_str(indent);
            columns = indent.len();
        } else if columns > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_broken_between_words_and_code_is_not() {
        let long = "word ".repeat(100);
        let wrapped = wrap(long.trim(), "  ");
        assert!(wrapped.lines().all(|line| line.chars().count() <= COLUMNS_MAX));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  word")));
        assert_eq!(wrapped.split_whitespace().count(), 100);
        let code = format!("```sh\n{long}\n```");
        assert_eq!(wrap(&code, ""), format!("{code}\n"));
    }
}
