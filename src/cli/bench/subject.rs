//! The server that is measured: a target, and its process where there is one to look at.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::arguments::{CommonArguments, TargetArguments};
use super::clock::{Clock, MILLISECOND, SECOND, seconds};
use super::feed::is_interrupted;
use super::ledger::Ledger;
use super::own_server::OwnServer;
use super::process::Process;
use super::show::Progress;
use super::swarm::Swarm;
use super::target::{CONNECTING_MAX, Preset, Target, Template};
use super::topics::Topics;
use super::wire::Wire;

/// Over how long a server is looked at to find out whether it does anything.
const QUIET_WINDOW: u64 = 100 * MILLISECOND;
/// Of that time, what a server at rest may use.
const QUIET_SHARE: f64 = 0.03;
/// How long a server that cannot be looked at is left alone instead.
const QUIET_BLIND: u64 = SECOND;
/// Longer than that nobody waits for quiet.
const QUIET_WAIT: u64 = 20 * SECOND;

/// A server to measure.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) target: Arc<Target>,
    /// What it is, for people: a command or a URL.
    pub(super) name: String,
    process: Option<Process>,
    /// Keeps a server of our own alive.
    own: Option<OwnServer>,
    clock: Clock,
    progress: Arc<Progress>,
    /// Times that it was measured although it had not come to rest.
    unrest: AtomicU32,
    /// Not all of its memory could be seen.
    has_hidden_memory: AtomicBool,
}

impl Subject {
    /// The server that the user named, or one that is started with `flags` beside those he gave. `what` is
    /// measured with it.
    ///
    /// # Errors
    /// When a URL is none, or the server does not start.
    pub(super) fn start(
        what: &str,
        common: &CommonArguments,
        flags: &[&str],
    ) -> Result<Self, String> {
        let quiet = common.output.quiet;
        let progress = if quiet { Progress::hidden() } else { Progress::begin(what) };
        let (arguments, progress) = (&common.target, Arc::new(progress));
        let preset = arguments.target;
        let has_urls = !arguments.subscribe_url.is_empty() || arguments.publish_url.is_some();
        if arguments.url.is_none() && !has_urls {
            if preset != Preset::Tidings {
                return Err(
                    "--target says what runs at a URL: give it by --url http://…".to_owned()
                );
            }
            return Self::start_own(arguments, flags, progress);
        }
        let has_flags = !arguments.server_flag.is_empty() || arguments.server_cpus.is_some();
        if has_flags || arguments.server.is_some() {
            return Err(
                "--server, --server-flag and --server-cpus are for a server that is started; \
                        this one runs already: leave them out, or the URLs"
                    .to_owned(),
            );
        }
        let mut target = match &arguments.url {
            Some(url) => Target::at(url, preset)?,
            None => Target::unknown("the server".to_owned()),
        };
        for given in &arguments.subscribe_url {
            let (wire, url) = parse_wire_url(given)?;
            target.subscribe_at(wire, &Template::parse(url)?);
        }
        if let Some(url) = &arguments.publish_url {
            target.publish_at(Template::parse(url)?);
        }
        if !matches!(what, "idle" | "connect") {
            target.publish_address()?;
        }
        target.connecting_max = arguments.connecting.unwrap_or(CONNECTING_MAX);
        let process = arguments.server_pid.map(Process::family).transpose()?;
        let first = arguments.subscribe_url.first().or(arguments.publish_url.as_ref());
        let name = match (&arguments.url, first) {
            (None, Some(first)) => first.clone(),
            _ => target.name.clone(),
        };
        Ok(Self::new(target, name, process, None, progress))
    }

    fn start_own(
        arguments: &TargetArguments,
        flags: &[&str],
        progress: Arc<Progress>,
    ) -> Result<Self, String> {
        if arguments.server_pid.is_some() {
            return Err("--server-pid needs the URL of that server: --url http://…".to_owned());
        }
        let program = match &arguments.server {
            Some(program) => program.clone(),
            None => own_program()?,
        };
        let mut all: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        all.extend(
            arguments
                .server_flag
                .iter()
                .flat_map(|flag| flag.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
        );
        let own = OwnServer::start(&program, &all, arguments.server_cpus.as_deref())?;
        let mut target = Target::at(own.url(), arguments.target)?;
        target.connecting_max = arguments.connecting.unwrap_or(CONNECTING_MAX);
        let process = Some(Process::family(own.id())?);
        let mut name = "tidings serve".to_owned();
        for flag in &all {
            name.push(' ');
            name.push_str(flag);
        }
        Ok(Self::new(target, name, process, Some(own), progress))
    }

    fn new(
        target: Target,
        name: String,
        process: Option<Process>,
        own: Option<OwnServer>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            target: Arc::new(target),
            name,
            process,
            own,
            clock: Clock::start(),
            progress,
            unrest: AtomicU32::new(0),
            has_hidden_memory: AtomicBool::new(false),
        }
    }

    /// What was found out about it that puts figures in doubt.
    pub(super) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let unrest = self.unrest.load(Ordering::Relaxed);
        if unrest > 0 {
            let seconds = QUIET_WAIT / SECOND;
            doubts.push(format!(
                "The server did not come to rest within {seconds} s, {unrest} times: what it did of its own \
                 accord then is in the figures."
            ));
        }
        if self.has_hidden_memory.load(Ordering::Relaxed) {
            doubts.push(
                "The server's memory is not known: not all of its processes let this user see theirs \
                 (/proc/PID/smaps_rollup). Run this as their user, or as root."
                    .to_owned(),
            );
        }
        doubts
    }

    /// Bytes of the server's memory, where all of it can be seen.
    pub(super) fn memory_bytes(&self) -> Option<f64> {
        let bytes = self.process?.memory_bytes();
        let is_hidden = bytes.is_none() && self.process?.cpu_seconds().is_some();
        self.has_hidden_memory.fetch_or(is_hidden, Ordering::Relaxed);
        bytes
    }

    /// A swarm for it, without anybody yet.
    ///
    /// # Errors
    /// When there is no poll to be had.
    pub(super) fn swarm(&self, topics: Topics) -> Result<Swarm, String> {
        let progress = Arc::clone(&self.progress);
        Swarm::new(Arc::clone(&self.target), topics, self.clock, 1, progress)
    }

    /// Another one, for another thread: it shows nothing.
    ///
    /// # Errors
    /// When there is no poll to be had.
    pub(super) fn second_swarm(&self, topics: Topics) -> Result<Swarm, String> {
        let progress = Arc::new(Progress::hidden());
        Swarm::new(Arc::clone(&self.target), topics, self.clock, 2, progress)
    }

    /// The clock of all its swarms.
    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// The process to look at, if there is one.
    pub(super) const fn process(&self) -> Option<Process> {
        self.process
    }

    /// The process, for what makes no sense without.
    ///
    /// # Errors
    /// When there is none to look at.
    pub(super) fn need_process(&self) -> Result<Process, String> {
        self.process.ok_or_else(|| {
            "this needs the server's memory and CPU: give its process by --server-pid, or no URL, so \
             that one is started"
                .to_owned()
        })
    }

    /// Whether it was started here, and is nobody else's.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// From now on another process is looked at: the server was restarted.
    ///
    /// # Errors
    /// When there is none with this id.
    pub(super) fn look_at(&mut self, id: u32) -> Result<(), String> {
        self.process = Some(Process::family(id)?);
        Ok(())
    }

    /// Begins to measure CPU.
    pub(super) fn meter(&self) -> Meter {
        Meter {
            process: self.process,
            server: self.process.and_then(Process::cpu_seconds),
            generator: Process::own().cpu_by_thread(),
            clock: self.clock,
            began: self.clock.now(),
        }
    }

    /// Turns until the server does nothing any more, or for a while; that it did not come to rest is a doubt.
    ///
    /// # Errors
    /// When the swarm cannot go on.
    pub(super) fn settle(&self, swarm: &mut Swarm, ledger: &mut Ledger) -> Result<(), String> {
        swarm.progress().phase("waiting for the server to be at rest", 0);
        let clock = swarm.clock();
        let window = if self.process.is_some() { QUIET_WINDOW } else { QUIET_BLIND };
        let deadline = clock.now() + QUIET_WAIT;
        while clock.now() < deadline && !is_interrupted() {
            let (before, bytes) = (self.meter(), swarm.tally.bytes_down);
            let until = clock.now() + window;
            while clock.now() < until {
                swarm.turn(ledger, Some(until))?;
            }
            let used = before.used().server.unwrap_or(0.0);
            if used < QUIET_SHARE * window as f64 / SECOND as f64
                && (self.process.is_some() || swarm.tally.bytes_down == bytes)
            {
                return Ok(());
            }
        }
        self.unrest.fetch_add(u32::from(!is_interrupted()), Ordering::Relaxed);
        Ok(())
    }
}

/// Seconds of CPU.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Usage {
    /// Of the server, where it can be looked at.
    pub(super) server: Option<f64>,
    /// It could be looked at, and cannot any more: it has ended.
    pub(super) has_server_ended: bool,
    /// Of the generator, all its threads.
    pub(super) generator: f64,
    /// How much of its time the busiest of these threads used.
    pub(super) busiest_share: f64,
}

impl Usage {
    /// To add others to.
    pub(super) fn none() -> Self {
        Self { server: Some(0.0), ..Self::default() }
    }

    /// Both together with another's.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            server: self.server.zip(other.server).map(|(left, right)| left + right),
            has_server_ended: self.has_server_ended || other.has_server_ended,
            generator: self.generator + other.generator,
            busiest_share: self.busiest_share.max(other.busiest_share),
        }
    }
}

/// A beginning, to be compared with an end.
#[derive(Debug)]
pub(super) struct Meter {
    process: Option<Process>,
    /// Seconds of CPU that the server had used.
    server: Option<f64>,
    /// The same of the generator's threads.
    generator: HashMap<OsString, f64>,
    clock: Clock,
    began: u64,
}

impl Meter {
    /// What was used since the beginning.
    pub(super) fn used(&self) -> Usage {
        let now = self.process.and_then(Process::cpu_seconds);
        let server = now.zip(self.server).map(|(now, then)| (now - then).max(0.0));
        let elapsed = seconds(self.clock.now() - self.began);
        let (mut generator, mut busiest) = (0.0, 0.0_f64);
        for (thread, now) in Process::own().cpu_by_thread() {
            let used = now - self.generator.get(&thread).copied().unwrap_or(0.0);
            generator += used;
            busiest = busiest.max(used);
        }
        let has_server_ended = self.server.is_some() && now.is_none();
        Usage { server, has_server_ended, generator, busiest_share: busiest / elapsed.max(1e-9) }
    }
}

/// The program that this process runs.
fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| {
        format!("cannot find the program to start as server (give it by --server): {error}")
    })
}

/// `WIRE=URL`, or a URL for all wires.
fn parse_wire_url(text: &str) -> Result<(Option<Wire>, &str), String> {
    for wire in Wire::ALL {
        if let Some(url) = text.strip_prefix(wire.name()).and_then(|rest| rest.strip_prefix('=')) {
            return Ok((Some(wire), url));
        }
    }
    if text.starts_with("http://") {
        return Ok((None, text));
    }
    let names = Wire::ALL.map(Wire::name).join(", ");
    Err(format!("--subscribe-url {text}: give http://… or WIRE=http://…; wires are {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_for_one_wire_or_for_all() {
        let both = parse_wire_url("long-poll=http://a/x=y").unwrap();
        assert_eq!(both, (Some(Wire::LongPoll), "http://a/x=y"));
        assert_eq!(parse_wire_url("http://a/sse=1").unwrap(), (None, "http://a/sse=1"));
        assert!(parse_wire_url("gopher=http://a").unwrap_err().contains("short-poll"));
    }
}
