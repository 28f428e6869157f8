//! The page that `compare` writes: how it was measured, the table, and what follows from it.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::cli::bench::arguments::CompareArguments;
use crate::cli::bench::clock::seconds;
use crate::cli::bench::findings::Findings;
use crate::cli::bench::wire::Wire;

use super::compare::{self, COLUMNS, Received};
use super::number;

/// The longest line of the page's text.
const COLUMNS_MAX: usize = 118;
/// Within this factor latencies are about the same: on a busy machine they differ as much by themselves.
const ALIKE: f64 = 1.5;

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
    let sentences = conclusions(received);
    if !sentences.is_empty() {
        let _ = writeln!(page, "\n## What follows\n");
    }
    for sentence in sentences {
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
    let after = seconds(compare::after(arguments));
    let short_poll: Vec<String> =
        arguments.short_poll.iter().map(|&interval| seconds(interval).to_string()).collect();
    let wires: Vec<&str> = arguments.wire.iter().map(|wire| wire.name()).collect();
    let (short_poll, wires) = (short_poll.join(","), wires.join(","));
    let machine = findings.conditions.iter().find(|(name, _)| name == "machine");
    let machine = machine.map_or("", |(_, value)| value);
    let command = format!(
        "```sh\ntidings bench compare --subscribers {subscribers} --rate {rate} --duration \
         {duration} --short-poll {short_poll} --wire {wires} --write docs/comparison.md\n```"
    );
    let paragraphs = [
        "Every article on the subject has this table in words. Here it is in numbers, from one command:"
            .to_owned(),
        command,
        format!(
            "How it was measured: {subscribers} clients connect and receive the same feed, \
             {rate} messages a second of {size} bytes each for {duration} seconds, first all by \
             one way, then all by the next, each time from a fresh `tidings serve` in a process \
             of its own. Every way has the same time, all of which is counted: a second to \
             connect, the feed, and {after} s behind it, in which the slowest poll gets the last \
             messages. Bytes are those of \
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

/// What the numbers say, in sentences. Of a way that missed messages they say nothing.
fn conclusions(received: &[Received]) -> Vec<String> {
    let whole = |one: &&Received| one.missed == 0 && one.deliveries > 0;
    let of = |wire: Wire| received.iter().filter(whole).find(|one| one.wire == wire);
    let Some(sse) = of(Wire::Sse) else { return Vec::new() };
    let polls = received.iter().filter(whole).filter(|one| one.wire == Wire::ShortPoll);
    let mut sentences: Vec<String> = polls.map(|poll| about_poll(poll, sse)).collect();
    sentences.extend(of(Wire::LongPoll).map(|long| about_long_poll(long, sse)));
    sentences.extend(of(Wire::Ndjson).map(|ndjson| about_stream("An NDJSON stream", ndjson, sse)));
    sentences.extend(of(Wire::Websocket).map(|socket| about_stream("A WebSocket", socket, sse)));
    sentences
}

fn about_poll(poll: &Received, sse: &Received) -> String {
    let share = |latency: f64| number(latency / 10.0 / poll.interval);
    format!(
        "A {}, makes {} requests where an event stream makes one, each for {} messages on \
         average. A message costs {} bytes, both ways, beside {} of the event stream{}. Half of \
         them are {} ms late ({} % of the interval), one in a hundred {} ms ({} %).",
        poll.title,
        number(poll.requests as f64 / sse.requests.max(1) as f64),
        number(poll.deliveries as f64 / poll.requests.max(1) as f64),
        number(poll.bytes_up + poll.bytes_down),
        number(sse.bytes_up + sse.bytes_down),
        cpu_beside(poll, sse),
        number(poll.latency_p50),
        share(poll.latency_p50),
        number(poll.latency_p99),
        share(poll.latency_p99),
    )
}

fn about_long_poll(long: &Received, sse: &Received) -> String {
    format!(
        "A long poll {}, with {} requests for each message. It takes {} bytes up for a message \
         beside {} of the event stream{}.",
        promptness(long, sse),
        number(long.requests as f64 / long.deliveries as f64),
        number(long.bytes_up),
        number(sse.bytes_up),
        cpu_beside(long, sse),
    )
}

fn about_stream(name: &str, stream: &Received, sse: &Received) -> String {
    let (own, other) = (stream.bytes_up + stream.bytes_down, sse.bytes_up + sse.bytes_down);
    let difference = number((own - other).abs());
    let bytes = match own.total_cmp(&other) {
        Ordering::Less => format!("takes {difference} bytes less for a message"),
        Ordering::Equal => "takes as many bytes for a message".to_owned(),
        Ordering::Greater => format!("takes {difference} bytes more for a message"),
    };
    format!("{name} {}. It {bytes}{}.", promptness(stream, sse), cpu_beside(stream, sse))
}

/// How late its messages are beside those of an event stream.
fn promptness(one: &Received, sse: &Received) -> String {
    let (own, other) = (number(one.latency_p50), number(sse.latency_p50));
    let ratio = one.latency_p50 / sse.latency_p50;
    if (1.0 / ALIKE..=ALIKE).contains(&ratio) {
        return format!("is about as prompt as an event stream ({own} ms beside {other} ms)");
    }
    format!("is {} times as late as an event stream ({own} ms beside {other} ms)", number(ratio))
}

/// The server's CPU beside that of an event stream, to be put behind a sentence; empty if it is not known.
fn cpu_beside(one: &Received, sse: &Received) -> String {
    if !(one.cpu / sse.cpu).is_finite() {
        return String::new();
    }
    let ratio = number(one.cpu / sse.cpu);
    format!(
        ", and {} µs of the server's CPU beside {} µs ({ratio} times)",
        number(one.cpu),
        number(sse.cpu)
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

    fn received(wire: Wire, latency: f64, bytes_down: f64) -> Received {
        Received {
            title: wire.name().to_owned(),
            wire,
            interval: 2.0,
            requests: 10,
            connections: 10,
            deliveries: 100,
            missed: 0,
            bytes_up: 4.0,
            bytes_down,
            latency_p50: latency,
            latency_p99: latency * 2.0,
            cpu: 8.0,
        }
    }

    #[test]
    fn sentences_say_what_the_figures_say() {
        let sse = received(Wire::Sse, 1.0, 200.0);
        let of = |one: Received| conclusions(&[sse.clone(), one]).concat();
        let long = Received { requests: 120, cpu: 16.0, ..received(Wire::LongPoll, 1.2, 0.0) };
        let said = of(long.clone());
        assert!(said.contains("about as prompt as an event stream (1.2 ms beside 1 ms)"), "{said}");
        assert!(said.contains("1.2 requests for each message"), "{said}");
        assert!(said.contains("16 µs of the server's CPU beside 8 µs (2 times)"), "{said}");
        let said = of(Received { latency_p50: 7.0, cpu: f64::NAN, ..long });
        assert!(said.contains("7 times as late") && !said.contains("CPU"), "{said}");
        assert!(of(received(Wire::Websocket, 1.0, 170.0)).contains("30 bytes less"));
        assert!(of(received(Wire::Websocket, 1.0, 230.0)).contains("30 bytes more"));
        let said = of(Received { requests: 50, ..received(Wire::ShortPoll, 1_000.0, 300.0) });
        assert!(said.contains("5 requests where an event stream makes one, each for 2 messages"));
        assert!(said.contains("304 bytes, both ways, beside 204 of the event stream"), "{said}");
        assert!(
            said.contains(
                "1,000 ms late (50 % of the interval), one in a hundred 2,000 ms (100 %)"
            )
        );
    }

    #[test]
    fn nothing_is_said_of_a_way_that_missed_messages_or_without_a_stream_to_compare_it_with() {
        let sse = received(Wire::Sse, 1.0, 200.0);
        let lossy = Received { missed: 1, ..received(Wire::LongPoll, 1.0, 200.0) };
        assert!(conclusions(&[sse, lossy]).is_empty());
        assert!(conclusions(&[received(Wire::LongPoll, 1.0, 200.0)]).is_empty());
    }

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
