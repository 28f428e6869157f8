//! A herd: all subscribers are cut off at once, miss messages, and come back at once where they were.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::cli::bench::answer::{Answers, Part};
use crate::cli::bench::arguments::{CrowdArguments, HerdArguments};
use crate::cli::bench::clock::{Clock, MILLISECOND, SECOND, seconds};
use crate::cli::bench::feed::{Ending, Feed, connect_all, fail, is_interrupted};
use crate::cli::bench::findings::{Findings, Plot, Series, Table};
use crate::cli::bench::ledger::Ledger;
use crate::cli::bench::machine::make_room;
use crate::cli::bench::process::Watch;
use crate::cli::bench::subject::{Subject, Usage};
use crate::cli::bench::subscriber::Resume;
use crate::cli::bench::swarm::Swarm;
use crate::cli::bench::target::Target;
use crate::cli::bench::topics::Topics;
use crate::cli::bench::wire::Wire;

use super::{linear_plot, number};

/// Within how long a failed connect is tried again.
const RETRY: u64 = 200 * MILLISECOND;
/// How long the herd may take.
const CATCH_UP_MAX: u64 = 120 * SECOND;
/// How long the server may take to say where its log ends.
const CURSOR_WAIT: Duration = Duration::from_secs(10);
/// Of an event stream that has said a cursor: after so much silence it was the last.
const CURSOR_SILENCE: Duration = Duration::from_millis(500);

/// Runs it.
pub(super) fn run(arguments: &HerdArguments) -> Result<Findings, String> {
    let HerdArguments { crowd, behind, restart_command, common } = arguments;
    let CrowdArguments { wire: wires, subscribers } = crowd;
    make_room(*subscribers, 1)?;
    let mut subject = Subject::start("herd", common, &[])?;
    for &wire in wires {
        subject.target.subscribe_address(wire)?;
    }
    let mut findings = Findings::of("herd", common, &subject);
    findings.condition("subscribers", super::describe_subscribers(wires, *subscribers));
    findings.condition("behind", format!("{behind} messages, when they come back"));
    let clock = subject.clock();
    let topics = Topics::new(&common.topic, 1);
    let mut swarm = subject.swarm(topics)?;
    let mut ledger = Ledger::new();
    (0..*subscribers).for_each(|index| swarm.add(wires[index % wires.len()], 0));
    connect_all(&mut swarm, &mut ledger)?;
    swarm.open_links(1, Answers::new)?;
    let mut feed = Feed::new(common.size, 1);
    feed.warm_up(&mut swarm, &mut ledger)?;
    subject.settle(&mut swarm, &mut ledger)?;
    swarm.after = cursor(&subject.target, &common.topic)?;
    if swarm.after.is_none() && wires.iter().any(|wire| !wire.is_poll()) {
        return Err("the server gives no cursor (an SSE `id:`) to come back with".to_owned());
    }
    let steady = subject.memory_bytes();

    swarm.cut_all();
    feed.publish_only(&mut swarm, &mut ledger, *behind)?;
    subject.settle(&mut swarm, &mut ledger)?;
    match restart_command {
        Some(command) => restart(command, &mut subject, &mut swarm)?,
        None => findings.remarks.push(
            "The connections were reset by the clients; the server stayed up. A server that keeps its \
             log can be restarted in between: --restart-command."
                .to_owned(),
        ),
    }
    let watch = subject.process().map(|process| Watch::start(process, clock));
    let (meter, began) = (subject.meter(), clock.now());
    let before = swarm.tally.failed_connects;
    // The messages are older: what they waited in was their absence.
    ledger.began = Some(began);
    swarm.retry = Some(RETRY);
    swarm.connecting_max = common.target.connecting.unwrap_or(usize::MAX);
    swarm.return_all();
    let ending = catch_up(&mut swarm, &mut ledger, began + CATCH_UP_MAX)?;
    let usage = meter.used();
    let memory = watch.map(Watch::stop).unwrap_or_default();

    let returned = Returned {
        seconds: (ending == Ending::Complete).then(|| seconds(ledger.ended.saturating_sub(began))),
        failed: swarm.tally.failed_connects - before,
        steady,
        peak: memory.iter().map(|&(_, bytes)| bytes).reduce(f64::max),
        missed: ledger.missing().iter().sum(),
        usage,
    };
    let caught_up = returned.describe();
    findings.summary = format!(
        "{subscribers} subscribers came back at once, {behind} messages behind: {caught_up}."
    );
    report(&mut findings, &returned, &ledger);
    findings.plots.push(memory_plot(&memory, began));
    findings.doubts("", ending, &ledger, &swarm.tally, usage);
    findings.doubts_about(&subject);
    Ok(findings)
}

/// What the return took.
struct Returned {
    /// Until all had caught up, if they have.
    seconds: Option<f64>,
    failed: u64,
    steady: Option<f64>,
    peak: Option<f64>,
    missed: u64,
    usage: Usage,
}

impl Returned {
    /// When all had caught up, in words.
    fn describe(&self) -> String {
        match self.seconds {
            Some(seconds) => format!("all had caught up after {seconds:.2} s"),
            None => "not all have caught up".to_owned(),
        }
    }
}

/// The server's memory over the seconds since the herd came back.
fn memory_plot(memory: &[(u64, f64)], began: u64) -> Plot {
    let points =
        memory.iter().map(|&(time, bytes)| (seconds(time.saturating_sub(began)), bytes / 1e6));
    let series = Series { name: "server".to_owned(), points: points.collect() };
    linear_plot("Memory while the herd returns", "seconds", "resident megabytes", vec![series])
}

fn report(findings: &mut Findings, returned: &Returned, ledger: &Ledger) {
    let seconds = returned.seconds.unwrap_or(f64::NAN);
    findings.figure("caught_up_seconds", "", seconds);
    findings.figure("failed_connects", "", returned.failed as f64);
    findings.figure("missed", "", returned.missed as f64);
    findings.figure("deliveries", "", ledger.deliveries() as f64);
    let megabytes = |bytes: Option<f64>| bytes.map_or("unknown".to_owned(), |it| number(it / 1e6));
    if let (Some(steady), Some(peak)) = (returned.steady, returned.peak) {
        findings.figure("steady_bytes", "", steady);
        findings.figure("peak_bytes", "", peak);
    }
    let cells = [
        "herd".to_owned(),
        number(seconds),
        returned.failed.to_string(),
        returned.missed.to_string(),
        megabytes(returned.steady),
        megabytes(returned.peak),
        returned.usage.server.map_or("unknown".to_owned(), number),
    ];
    let columns =
        ["", "caught up, s", "failed connects", "missed", "steady MB", "peak MB", "server CPU s"];
    findings.tables.push(Table {
        title: "Coming back".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: vec![cells.to_vec()],
    });
    findings.usage(returned.usage);
    findings.plots.push(linear_plot(
        "Deliveries since they came back",
        "seconds",
        "deliveries per second",
        vec![ledger.over_time("deliveries")],
    ));
}

/// Turns until everybody has everything.
fn catch_up(swarm: &mut Swarm, ledger: &mut Ledger, deadline: u64) -> Result<Ending, String> {
    let behind = ledger.unsettled();
    swarm.progress().phase("catching up, messages that all have", behind);
    while ledger.unsettled() > 0 {
        if is_interrupted() {
            return Ok(Ending::Interrupted);
        }
        if swarm.clock().now() > deadline {
            return Ok(Ending::Stalled);
        }
        if let Err(why) = swarm.turn(ledger, None) {
            return fail(swarm, ledger, why);
        }
        swarm.progress().set(behind - ledger.unsettled());
    }
    Ok(Ending::Complete)
}

/// Restarts the server; the last word of what the command prints is its process, if it is a number.
fn restart(command: &str, subject: &mut Subject, swarm: &mut Swarm) -> Result<(), String> {
    swarm.progress().phase("restarting the server", 0);
    let output = Command::new("sh").args(["-c", command]).output();
    let output = output.map_err(|error| format!("cannot run --restart-command: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("--restart-command failed: {}", why.trim()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(id) = said.split_whitespace().last().and_then(|word| word.parse().ok()) {
        subject.look_at(id)?;
    }
    swarm.reconnect_links()
}

/// The cursor behind the newest message: of a server that does not give it to HEAD, the last `id:` of an event
/// stream that is read until it is silent.
fn cursor(target: &Target, topic: &str) -> Result<Option<String>, String> {
    let Ok(address) = target.subscribe_address(Wire::Sse) else { return Ok(None) };
    if let Some(cursor) = head_cursor(target, topic)? {
        return Ok(Some(cursor));
    }
    let failed = |error: std::io::Error| format!("cannot ask {address} for a cursor: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(CURSOR_SILENCE)).map_err(failed)?;
    // From the beginning, so that the newest message is among what comes.
    let resume = Resume::default();
    let request = target.subscribe_request(Wire::Sse, topic, &resume, None);
    stream.write_all(&request).map_err(failed)?;
    Ok(last_id(&mut stream, CURSOR_WAIT))
}

/// The last `id:` that comes before an end, a silence behind one, an interrupt, or `wait` is over.
fn last_id(stream: &mut TcpStream, wait: Duration) -> Option<String> {
    let (clock, mut id) = (Clock::start(), None);
    let deadline = clock.now() + wait.as_nanos() as u64;
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    while clock.now() < deadline && !is_interrupted() {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if id.is_some() {
                    break;
                }
                0
            }
            Err(_) => break,
        };
        for &byte in &buffer[..count] {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if let Some(found) = line.strip_prefix(b"id:") {
                id = Some(String::from_utf8_lossy(found).trim().to_owned());
            }
            line.clear();
        }
    }
    id
}

/// The cursor at the head, of a server that gives it as `ETag` to HEAD.
fn head_cursor(target: &Target, topic: &str) -> Result<Option<String>, String> {
    let address = target.publish_address()?;
    let failed = |error: std::io::Error| format!("cannot ask {address} for a cursor: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(CURSOR_WAIT)).map_err(failed)?;
    let mut request = Vec::new();
    target.encode_begin(topic, &mut request);
    stream.write_all(&request).map_err(failed)?;
    let (mut answers, mut buffer) = (Answers::to_head(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).map_err(failed)?;
        let mut bytes = &buffer[..count];
        match answers.next(&mut bytes) {
            Ok(Some(Part::Head(head))) => {
                let etag = head.etag.filter(|_| head.status == 200);
                return Ok(etag.map(|etag| etag.trim_matches('"').to_owned()));
            }
            Ok(_) if count > 0 => (),
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_last_id_counts_and_a_stream_without_one_ends_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (said, expected) in [(&b"id: 1\n\nid: 2\n\n"[..], Some("2")), (b"data: x\n\n", None)] {
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(said).unwrap();
            let id = last_id(&mut stream, Duration::from_millis(200));
            assert_eq!(id.as_deref(), expected);
        }
    }
}
