//! `tidings serve`: the server, as a command.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::activation::{self, HandedOver};
use super::config::tell;
use super::logging::Log;
use super::redis::RedisArguments;
use super::service;
use super::settings::{Invocation, Reloader, Settings};
use crate::config::{Config, Origins, RedisConfig, TopicRules};
use crate::fuse::Fuse;
use crate::limits::{ADMIN_CONNECTIONS_MAX, Budgets, Limits, REDIS_CONNECTIONS_PER_WORKER};
use crate::server::{Listen, Server};

const EXAMPLES: &str = "\
Examples:
  tidings                                             http://127.0.0.1:8080/, a worker for each core
  tidings --listen 0.0.0.0:8080 --listen '[::]:8080'  every address, IPv4 and IPv6
  tidings --allow-origin https://example.org          let pages of that site in
  tidings --log-messages 10000 --log-age 86400        remember more

Every flag can be given as an environment variable (--log-age 60 is TIDINGS_LOG_AGE=60), and in a
file (log-age = 60). A flag goes before a variable, a variable before the file; what comes of them,
`tidings config print` shows.
RUST_LOG=tidings=debug logs the end of every connection. SIGTERM drains; a second one exits at once. SIGHUP reads the settings again (on a terminal it drains).";

/// The flags of `tidings serve`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArguments {
    /// Address and port to listen on; may be given several times
    #[arg(
        long,
        env = "TIDINGS_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = LISTEN_DEFAULT
    )]
    listen: Vec<SocketAddr>,
    /// Address and port for the operator alone (/metrics, listings, health); may be given several times
    #[arg(long, env = "TIDINGS_ADMIN_LISTEN", value_name = "ADDRESS", value_delimiter = ',')]
    admin_listen: Vec<SocketAddr>,
    /// Worker threads [default: one for each core]
    #[arg(long, env = "TIDINGS_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: Option<u16>,
    /// Origin whose pages may talk to this server, or * for all; may be given several times
    #[arg(long, env = "TIDINGS_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// Do not serve the page at /
    #[arg(
        long,
        env = "TIDINGS_NO_PAGE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        action = clap::ArgAction::Set
    )]
    no_page: bool,
    /// File of settings, or none [default: the first of ~/.config/tidings/tidings.toml and /etc/tidings/tidings.toml]
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE")]
    config: Option<OsString>,
    /// What servers share their topics through.
    #[command(flatten)]
    redis: RedisArguments,
    /// Bounds on what peers may use up.
    #[command(flatten)]
    pub limits: Limits,
}

impl ServeArguments {
    /// Where to listen.
    #[must_use]
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        &self.listen
    }
}

/// Descriptors that are not connections: standard streams, and for each worker its listeners, poll, waker
/// and spare.
const DESCRIPTORS_OF_OUR_OWN: u64 = 32;
const DESCRIPTORS_PER_WORKER: u64 = 16;
/// The same for connections of the operator's.
const ADMIN_DESCRIPTORS_PER_WORKER: u64 = ADMIN_CONNECTIONS_MAX as u64;

/// And those to Redis.
const REDIS_DESCRIPTORS_PER_WORKER: u64 = REDIS_CONNECTIONS_PER_WORKER as u64;

/// Characters of a panic's message that go into the log.
const PANIC_CHARACTERS_MAX: usize = 300;

/// What is listened on when nothing else is said.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// What it exits with when a setting is wrong, as clap does for a flag.
const EXIT_WRONG_SETTINGS: u8 = 2;

/// Runs the server until it is told to stop. 0 after a drain, 1 when it cannot start or fails, 2 when a setting is
/// wrong.
#[must_use]
pub(crate) fn run(invocation: &Invocation) -> ExitCode {
    let settings = match invocation.load() {
        Ok(settings) => settings,
        Err(complaints) => {
            tell(&complaints);
            return ExitCode::from(EXIT_WRONG_SETTINGS);
        }
    };
    // Before there is a thread that could open anything.
    let handed_over = activation::take();
    let log = match Log::start() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("tidings: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    std::panic::set_hook(Box::new(log_panic));
    let result = handed_over.and_then(|handed_over| serve(invocation, settings, handed_over, &log));
    if let Err(message) = &result {
        error!("{message}");
    }
    log.flush();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says in the log that a thread panics; what follows from it, its event loop says.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "?".to_owned(), ToString::to_string);
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = escape(text.unwrap_or("no message"));
    error!("thread {} panicked at {place}: {message}", thread.name().unwrap_or("?"));
}

/// The message of a panic on one line, and not too long: it may quote what a peer sent.
fn escape(message: &str) -> String {
    message.chars().take(PANIC_CHARACTERS_MAX).flat_map(char::escape_debug).collect()
}

fn serve(
    invocation: &Invocation,
    settings: Settings,
    handed_over: HandedOver,
    log: &Log,
) -> Result<(), String> {
    settings.warnings.iter().for_each(|warning| warn!("{warning}"));
    let listen = listen(&settings.arguments, handed_over);
    let descriptors = raise_descriptor_limit();
    let has_admin = listen.has_admin();
    let config = Config { has_admin, ..configure(&settings, descriptors)? };
    let (limits, connections_max) = (config.limits.clone(), config.connections_max);
    let workers = config.workers;
    // Registered first: a signal during the start is not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| error.to_string())?;
    let seed = RandomState::new().build_hasher().finish();
    let server = Server::start(config.clone(), listen, seed).map_err(|error| error.to_string())?;
    let urls = |addresses: &[SocketAddr]| -> Vec<String> {
        addresses.iter().map(|address| format!("http://{address}/")).collect()
    };
    let (addresses, admin) = (urls(server.addresses()), urls(server.admin_addresses()));
    if !admin.is_empty() {
        info!("for the operator: {} (/metrics, /topics, /connections)", admin.join(" and "));
    }
    let all_addresses = addresses.join(" and ");
    info!(
        "listening on {} with {workers} workers and {descriptors} descriptors (up to {connections_max} \
         connections), settings {}; a topic keeps {} messages, {} bytes, {} s; try: curl -N -H \
         'Accept: text/event-stream' {}topics/news",
        all_addresses,
        settings.place(),
        limits.log_messages,
        limits.log_bytes,
        limits.log_age_ms / 1_000,
        addresses[0],
    );
    if let Some(redis) = &config.redis {
        info!(
            "topics are shared through Redis, {}, prefix {}; /readyz says 503 until it is reached",
            redis.topology, redis.prefix
        );
    }
    service::ready(&all_addresses);
    let _watch = service::watch(&server, &all_addresses);
    let reloader =
        Reloader::new(invocation.clone(), settings, config, descriptors, server.reloader());
    let (drain, handle, log) = (server.drainer(), signals.handle(), log.clone());
    let listener = std::thread::spawn(move || obey(&mut signals, drain, reloader, &log));
    let result = server.wait();
    handle.close();
    // It ends with its handle, and has nothing to say.
    let _ = listener.join();
    if result.is_ok() {
        info!("drained");
    }
    result
}

/// Where to listen: what the service manager has bound for us, else the addresses of the flags.
fn listen(arguments: &ServeArguments, handed_over: HandedOver) -> Listen {
    let HandedOver { public: public_sockets, admin: admin_sockets } = handed_over;
    let is_set = arguments.listen.iter().map(ToString::to_string).ne([LISTEN_DEFAULT]);
    let choose = |flag: &str, is_set: bool, addresses: &[SocketAddr], sockets: &[TcpListener]| {
        if sockets.is_empty() {
            return addresses.to_vec();
        }
        if is_set {
            warn!("{flag} is not used: the service manager has handed over sockets for it");
        }
        Vec::new()
    };
    let has_admin = !arguments.admin_listen.is_empty();
    let public = choose("--listen", is_set, &arguments.listen, &public_sockets);
    let admin = choose("--admin-listen", has_admin, &arguments.admin_listen, &admin_sockets);
    Listen { public, admin, public_sockets, admin_sockets }
}

/// Carries out what signals ask for, until the handle of `signals` is closed.
fn obey(
    signals: &mut Signals,
    drain: impl Fn(),
    mut reloader: Reloader<impl Fn(Config)>,
    log: &Log,
) {
    let mut is_draining = false;
    for signal in signals.forever() {
        // On a terminal it says that the terminal is gone, and with it who started the server by hand.
        if signal == SIGHUP && !std::io::stderr().is_terminal() {
            if is_draining {
                info!("reload: draining, so nothing is read again");
            } else {
                service::reloading();
                reloader.reload();
                service::reloaded();
            }
            continue;
        }
        if std::mem::replace(&mut is_draining, true) {
            warn!("told twice to stop: exiting at once");
            log.flush();
            std::process::exit(128 + signal);
        }
        info!("draining: saying goodbye to every connection");
        drain();
        service::stopping(reloader.drain_max_ms());
    }
}

/// Raises the soft limit of descriptors to the hard one; returns what it got.
fn raise_descriptor_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        warn!("cannot raise the descriptor limit: {error}");
        1_024
    })
}

/// Whether a server could be run with these settings on this machine.
///
/// # Errors
/// Why not, and what to do.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    configure(settings, raise_descriptor_limit()).map(|_| ())
}

/// Settles what depends on the machine.
pub(super) fn configure(settings: &Settings, descriptors: u64) -> Result<Config, String> {
    let ServeArguments { workers, allow_origin, no_page, limits, admin_listen, redis, .. } =
        settings.arguments.clone();
    let redis = settle_redis(settings, &redis, &limits)?;
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(128));
    let workers = workers.map_or_else(cores, usize::from);
    let has_admin = !admin_listen.is_empty();
    let per_worker = DESCRIPTORS_PER_WORKER
        + if has_admin { ADMIN_DESCRIPTORS_PER_WORKER } else { 0 }
        + if redis.is_some() { REDIS_DESCRIPTORS_PER_WORKER } else { 0 };
    let reserve = DESCRIPTORS_OF_OUR_OWN + per_worker * workers as u64;
    let room = descriptors.saturating_sub(reserve);
    let connections_max = match limits.connections_max {
        Some(wanted) if u64::from(wanted) > room => {
            return Err(format!(
                "--connections-max {wanted} does not fit: the descriptor limit of {descriptors} leaves \
                 room for {room} connections. Raise it (ulimit -n), or lower --connections-max ({})",
                settings.places(&["connections-max"])
            ));
        }
        Some(wanted) => wanted as usize,
        None if room == 0 => {
            return Err(format!(
                "the descriptor limit of {descriptors} leaves no room for connections: raise it (ulimit -n)"
            ));
        }
        None => usize::try_from(room).unwrap_or(usize::MAX).min(u32::MAX as usize / 2),
    };
    if limits.log_bytes > limits.memory_bytes_max {
        let places = settings.places(&["log-bytes", "memory"]);
        return Err(format!(
            "--log-bytes is larger than --memory: lower it, or raise --memory ({places})"
        ));
    }
    let origins = if allow_origin.iter().any(|origin| origin == "*") {
        warn!("--allow-origin *: pages of every site may read and publish");
        Origins::Any
    } else if allow_origin.is_empty() {
        Origins::Own
    } else {
        Origins::Listed(allow_origin)
    };
    let topics = Arc::new(TopicRules::new(settings.topics.clone()));
    let (page, budgets, fuse) = (!no_page, Budgets::DEFAULT, Fuse::default());
    Ok(Config {
        origins,
        limits,
        topics,
        page,
        connections_max,
        workers,
        has_admin,
        redis,
        budgets,
        fuse,
    })
}

/// What carries the topics between servers, if anything does.
fn settle_redis(
    settings: &Settings,
    redis: &RedisArguments,
    limits: &Limits,
) -> Result<Option<Arc<RedisConfig>>, String> {
    let refused = |(key, text)| format!("--{key}: {text} ({})", settings.places(&[key]));
    let redis = redis.settle(limits).map_err(refused)?;
    let idle = RedisArguments::OTHERS.into_iter().filter(|key| settings.is_set(key));
    for key in idle.filter(|_| redis.is_none()) {
        warn!("--{key} means nothing without --redis ({})", settings.places(&[key]));
    }
    Ok(redis.map(Arc::new))
}

/// `*`, or a scheme, `://` and a host, without a path (RFC 6454 §6.2).
fn parse_origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains('/') && host.is_ascii()
    });
    if text == "*" || text == "null" || is_origin {
        Ok(text.to_owned())
    } else {
        Err("give an origin such as https://example.org (no path, no slash at the end), or *"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_panic_is_one_line_of_bounded_length() {
        assert_eq!(escape("a\nERROR b\u{1b}[31m\u{202e}"), "a\\nERROR b\\u{1b}[31m\\u{202e}");
        assert_eq!(escape(&"x".repeat(1_000)).len(), PANIC_CHARACTERS_MAX);
    }

    #[test]
    fn origins_are_checked() {
        for good in ["*", "https://example.org", "http://localhost:3000"] {
            assert!(parse_origin(good).is_ok(), "{good}");
        }
        for bad in ["", "example.org", "https://example.org/", "https://"] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
