//! Every bound in the server on one page, with its default and why.
//!
//! Why these defaults: they are what servers of this kind have settled on, so that no client that works
//! with nginx, HAProxy, NATS or Centrifugo is surprised here.
//!
//! - A head of 16 KiB, 100 fields and a target of 8 KiB (RFC 9112 §3 asks for 8,000 octets at least) hold
//!   any browser's cookies; more is an attack or a mistake.
//! - Ten seconds for a first byte and a head, absolute, and 1 KiB/s for a body end a slow loris; a phone in
//!   a tunnel does not come near.
//! - 75 s of idle keep-alive and 1,000 requests are nginx's.
//! - 64 KiB of outbox and 16 KiB in the kernel keep a slow reader's lag in the log, which is shared.
//! - 256 MiB of outboxes in all are four thousand that are full. Beyond that everybody is given less at a
//!   time, which costs writes, not messages; so nobody has to be thrown out for the sake of others.
//! - 15 s of heartbeat is what WHATWG HTML §9.2.7 advises; 25 s of ping and 50 s of wait stay below the 60 s
//!   at which proxies give up.
//! - A page of 300 messages or 256 KiB is a second's work of a slow phone.
//! - 64 KiB and 128 frames of a WebSocket message: chat and commands; POST takes more.
//! - 1,000 reads a second from one address are a large office behind one router; publishing is not counted,
//!   as back pressure bounds it.
//! - 1,000 messages, 8 MiB or an hour of a topic are enough for any client that reconnects, and 1 GiB in all
//!   is what a small machine can spare.
//!
//! Each is a flag of `tidings serve` and an environment variable `TIDINGS_…`. The doc comment of a field
//! is its help text. Sizes take a suffix K, M or G (powers of 1024); times are seconds and may have a
//! fraction.

use clap::{Args, Command, FromArgMatches as _};

/// Bounds on what peers may use up. No field is ever read as "unlimited".
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits: requests")]
pub struct Limits {
    /// Bytes of a request head (request line and fields)
    #[arg(long, env = "TIDINGS_HEAD_BYTES_MAX", value_name = "SIZE", default_value = "16K", value_parser = parse_size)]
    pub head_bytes_max: usize,
    /// Bytes of a request target
    #[arg(long, env = "TIDINGS_TARGET_BYTES_MAX", value_name = "SIZE", default_value = "8K", value_parser = parse_size)]
    pub target_bytes_max: usize,
    /// Fields in a request head (at most 128)
    #[arg(long, env = "TIDINGS_FIELDS_MAX", value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub fields_max: u16,
    /// Bytes of a published payload (at most 1G)
    #[arg(long, env = "TIDINGS_BODY_BYTES_MAX", value_name = "SIZE", default_value = "1M", value_parser = parse_message_size)]
    pub body_bytes_max: usize,
    /// Bytes of an unwanted body that are read and dropped before the connection is closed instead
    #[arg(long, env = "TIDINGS_DROP_BYTES_MAX", value_name = "SIZE", default_value = "64K", value_parser = parse_size)]
    pub drop_bytes_max: usize,
    /// Time for a new connection to send its first byte
    #[arg(long = "first-byte", env = "TIDINGS_FIRST_BYTE", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub first_byte_ms: u64,
    /// Time for a whole head, counted from its first byte and never extended
    #[arg(long = "head-time", env = "TIDINGS_HEAD_TIME", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub head_ms: u64,
    /// Time before a body's rate is looked at
    #[arg(long = "body-grace", env = "TIDINGS_BODY_GRACE", value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    pub body_grace_ms: u64,
    /// Bytes per second that a body must arrive with on average, after the grace
    #[arg(long, env = "TIDINGS_BODY_RATE_MIN", value_name = "SIZE", default_value = "1K", value_parser = parse_size)]
    pub body_rate_min: usize,
    /// Time an idle persistent connection is kept
    #[arg(long = "keep-alive", env = "TIDINGS_KEEP_ALIVE", value_name = "SECONDS", default_value = "75", value_parser = parse_seconds)]
    pub keep_alive_ms: u64,
    /// Requests on one connection before it is closed
    #[arg(long, env = "TIDINGS_REQUESTS_MAX", value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_max: u32,

    /// Time in which a peer must take some of what it is owed
    #[arg(long = "write-progress", env = "TIDINGS_WRITE_PROGRESS", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, help_heading = "Limits: answers and streams")]
    pub write_progress_ms: u64,
    /// Bytes queued for one connection; what is behind stays in the log
    #[arg(long, env = "TIDINGS_OUTBOX_BYTES_MAX", value_name = "SIZE", default_value = "64K", value_parser = parse_size, help_heading = "Limits: answers and streams")]
    pub outbox_bytes_max: usize,
    /// Messages in one poll's answer
    #[arg(long, env = "TIDINGS_REPLAY_PAGE", value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: answers and streams")]
    pub replay_page: u32,
    /// Bytes in one poll's answer (one message is always given)
    #[arg(long, env = "TIDINGS_POLL_BYTES_MAX", value_name = "SIZE", default_value = "256K", value_parser = parse_size, help_heading = "Limits: answers and streams")]
    pub poll_bytes_max: usize,
    /// Longest time that a long poll is held (proxies give up at 60 s)
    #[arg(long = "wait-max", env = "TIDINGS_WAIT_MAX", value_name = "SECONDS", default_value = "50", value_parser = parse_seconds, help_heading = "Limits: answers and streams")]
    pub wait_max_ms: u64,
    /// Silence on an SSE or NDJSON stream after which a heartbeat is sent
    #[arg(long = "heartbeat", env = "TIDINGS_HEARTBEAT", value_name = "SECONDS", default_value = "15", value_parser = parse_seconds, help_heading = "Limits: answers and streams")]
    pub heartbeat_ms: u64,
    /// Topics that one connection may subscribe to
    #[arg(long, env = "TIDINGS_TOPICS_PER_CONNECTION", value_name = "N", default_value = "128", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Limits: answers and streams")]
    pub topics_per_connection: u16,
    /// Time a closing connection is listened to, so that its peer can read the last answer
    #[arg(long = "linger", env = "TIDINGS_LINGER", value_name = "SECONDS", default_value = "2", value_parser = parse_seconds, help_heading = "Limits: answers and streams")]
    pub linger_ms: u64,

    /// Bytes of one WebSocket message from a client (at most 1G)
    #[arg(long, env = "TIDINGS_WEBSOCKET_MESSAGE_BYTES_MAX", value_name = "SIZE", default_value = "64K", value_parser = parse_message_size, help_heading = "Limits: WebSocket")]
    pub websocket_message_bytes_max: usize,
    /// Frames of one WebSocket message
    #[arg(long, env = "TIDINGS_WEBSOCKET_FRAGMENTS_MAX", value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: WebSocket")]
    pub websocket_fragments_max: u32,
    /// Time for a WebSocket message to arrive whole, counted from its first frame
    #[arg(long = "websocket-message-time", env = "TIDINGS_WEBSOCKET_MESSAGE_TIME", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, help_heading = "Limits: WebSocket")]
    pub websocket_message_ms: u64,
    /// Silence after which a WebSocket client is pinged
    #[arg(long = "ping", env = "TIDINGS_PING", value_name = "SECONDS", default_value = "25", value_parser = parse_seconds, help_heading = "Limits: WebSocket")]
    pub ping_ms: u64,
    /// Time for the answer to a ping
    #[arg(long = "pong-wait", env = "TIDINGS_PONG_WAIT", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, help_heading = "Limits: WebSocket")]
    pub pong_wait_ms: u64,
    /// Pings per second that a client may send
    #[arg(long, env = "TIDINGS_PINGS_PER_SECOND", value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Limits: WebSocket")]
    pub pings_per_second: u16,

    /// Messages that a topic retains
    #[arg(long, env = "TIDINGS_LOG_MESSAGES", value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: topics")]
    pub log_messages: u32,
    /// Bytes of messages that a topic retains
    #[arg(long, env = "TIDINGS_LOG_BYTES", value_name = "SIZE", default_value = "8M", value_parser = parse_size, help_heading = "Limits: topics")]
    pub log_bytes: usize,
    /// Age at which a topic forgets a message
    #[arg(long = "log-age", env = "TIDINGS_LOG_AGE", value_name = "SECONDS", default_value = "3600", value_parser = parse_seconds, help_heading = "Limits: topics")]
    pub log_age_ms: u64,
    /// Topics on this server
    #[arg(long, env = "TIDINGS_TOPICS_MAX", value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: topics")]
    pub topics_max: u32,
    /// Time after which a topic without subscribers and messages is forgotten
    #[arg(long = "topic-idle", env = "TIDINGS_TOPIC_IDLE", value_name = "SECONDS", default_value = "300", value_parser = parse_seconds, help_heading = "Limits: topics")]
    pub topic_idle_ms: u64,
    /// Time in which a repeated Idempotency-Key is recognised
    #[arg(long = "idempotency-window", env = "TIDINGS_IDEMPOTENCY_WINDOW", value_name = "SECONDS", default_value = "120", value_parser = parse_seconds, help_heading = "Limits: topics")]
    pub idempotency_window_ms: u64,
    /// Idempotency keys that a worker remembers, the oldest forgotten first
    #[arg(long, env = "TIDINGS_IDEMPOTENCY_KEYS_MAX", value_name = "N", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: topics")]
    pub idempotency_keys_max: u32,

    /// Bytes for messages, their encodings, and bodies under way, on the whole server
    #[arg(long = "memory", env = "TIDINGS_MEMORY", value_name = "SIZE", default_value = "1G", value_parser = parse_size, help_heading = "Limits: server")]
    pub memory_bytes_max: usize,
    /// Bytes queued for all connections together; beyond it each gets no more than one message or answer at a time
    #[arg(long = "outboxes-bytes-max", env = "TIDINGS_OUTBOXES_BYTES_MAX", value_name = "SIZE", default_value = "256M", value_parser = parse_size, help_heading = "Limits: server")]
    pub outboxes_bytes_max: usize,
    /// Connections on the whole server [default: from the descriptor limit]
    #[arg(
        long,
        env = "TIDINGS_CONNECTIONS_MAX",
        value_name = "N",
        help_heading = "Limits: server"
    )]
    pub connections_max: Option<u32>,
    /// Connections from one IPv4 address or IPv6 /64 network (127.0.0.1 and ::1 are not counted: a proxy may be there)
    #[arg(long, env = "TIDINGS_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits: server")]
    pub connections_per_address: u32,
    /// Topics that such an address may begin to read in a second, and at once, on each worker (429)
    #[arg(long, env = "TIDINGS_READS_PER_SECOND", value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits: server")]
    pub reads_per_second: u32,
    /// Bytes in the kernel's send buffer of a connection that are not yet sent; a slow reader lags in the log instead
    #[arg(long, env = "TIDINGS_NOTSENT_BYTES", value_name = "SIZE", default_value = "16K", value_parser = parse_size, help_heading = "Limits: server")]
    pub notsent_bytes: usize,
    /// Time after which a peer that acknowledges nothing is given up
    #[arg(long = "user-timeout", env = "TIDINGS_USER_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, help_heading = "Limits: server")]
    pub user_timeout_ms: u64,
    /// Longest time over which a drain spreads its goodbyes
    #[arg(long = "drain-spread", env = "TIDINGS_DRAIN_SPREAD", value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, help_heading = "Limits: server")]
    pub drain_spread_ms: u64,
    /// Time after which a draining server exits whatever is left
    #[arg(long = "drain-max", env = "TIDINGS_DRAIN_MAX", value_name = "SECONDS", default_value = "40", value_parser = parse_seconds, help_heading = "Limits: server")]
    pub drain_max_ms: u64,
}

impl Default for Limits {
    /// The defaults that the flags have, whatever the environment says.
    fn default() -> Self {
        let command = Self::augment_args(Command::new("tidings").no_binary_name(true));
        let command = command.mut_args(|arg| arg.env(None::<&'static str>));
        let matches = command.get_matches_from::<_, &str>([]);
        Self::from_arg_matches(&matches).expect("every limit has a default, or is optional")
    }
}

/// How work is portioned: sizes that trade latency for throughput, which no flag sets. A simulation makes
/// them small, so that a few clients fill them.
#[derive(Copy, Clone, Debug)]
pub struct Budgets {
    /// Connections accepted in a tick: a herd must not starve those who are already here.
    pub accepts_per_tick: usize,
    /// Connections read in a tick.
    pub reads_per_tick: usize,
    /// Bytes read from one connection in a tick; also the size of a worker's scratch buffer.
    pub read_bytes_per_tick: usize,
    /// Timers fired in a tick.
    pub timers_per_tick: usize,
    /// Turns of connections in a tick, most of which end with a write: a fan-out to a hundred thousand is
    /// many ticks' work.
    pub turns_per_tick: usize,
    /// Deliveries of one topic before another topic's turn.
    pub deliveries_per_turn: u32,
    /// Requests, frames or lines taken from one connection before another's turn: ten thousand pipelined
    /// ones are many turns' work.
    pub steps_per_turn: usize,
    /// Messages on their way from one worker to another, over all topics; at least 4.
    pub credit: u32,
    /// Publishes on their way from one worker to another.
    pub forwards_in_flight: usize,
    /// Publishes and deletions that a worker has under way outside, beside those that other workers sent it.
    pub publishes_outside: usize,
    /// Topics that a worker reads outside at a time: so a thousand servers that come back do not all read everything.
    pub reads_outside: usize,
    /// Mail in a worker's channel; what does not fit waits at its sender, which is bounded by the two above.
    pub mailbox: usize,
}

impl Budgets {
    /// What every server has.
    pub const DEFAULT: Self = Self {
        accepts_per_tick: 64,
        reads_per_tick: 256,
        read_bytes_per_tick: 64 * 1024,
        timers_per_tick: 1024,
        turns_per_tick: 256,
        deliveries_per_turn: 64,
        steps_per_turn: 32,
        credit: 1024,
        forwards_in_flight: 1024,
        publishes_outside: 1024,
        reads_outside: 64,
        mailbox: 8192,
    };
}

impl Default for Budgets {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// What follows is not for an operator to choose: internal budgets whose sizes trade latency for
// throughput, and syntax bounds.

/// Bytes of one chunk-size line, extensions included.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Trailer fields of a chunked body.
pub const TRAILERS_MAX: usize = 16;
/// Bytes of the trailer section.
pub const TRAILER_BYTES_MAX: usize = 4096;
/// Bytes that a closing connection still reads and drops: twice the default body, so that who sends one
/// that is a little too large reads the answer instead of a reset.
pub const LINGER_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Bytes that a client may send on an open SSE or NDJSON stream (docs/protocol.md 9.6).
pub const STREAM_INPUT_BYTES_MAX: u32 = 4 * 1024;
/// Bytes of pipelined requests kept behind one that is being answered.
pub const PIPELINE_BYTES_MAX: usize = 16 * 1024;
/// Publishes of one connection (batch or WebSocket) that wait for their sequence numbers.
pub const PUBLISHES_IN_FLIGHT_MAX: usize = 64;
/// Errors that a `tidings.json` client may cause before it is closed (docs/protocol.md 11.4).
pub const COMMAND_ERRORS_MAX: u16 = 100;
/// Wrong lines in a batch after which the rest is not read (docs/protocol.md 5.3): a report is many times
/// as long as a line.
pub const BATCH_ERRORS_MAX: u32 = 1_000;
/// Share of the connections that only get a refusal: what is accepted beyond `connections_max`, so that a
/// client is told to come back rather than reset. A worker holds at most this many of them.
pub const REFUSING_CONNECTIONS_MAX: usize = 64;

/// Connections to an address of the operator's own (`--admin-listen`) that a worker serves, whatever else it has:
/// the operator gets in when the server is full.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// Listings that an operator may have under way on one worker; whoever comes then is told to come back.
pub const LISTINGS_MAX: usize = 8;
/// Entries of one listing.
pub const LISTING_ENTRIES_MAX: u64 = 1_000;
/// Topics, connections and subscribers looked at in a tick for those who ask: a listing of a million topics is
/// a thousand ticks' work.
pub const SURVEYED_PER_TICK: usize = 1_024;

/// Bytes of a message in Redis beside its payload: its head, content type and event name.
pub const RECORD_BYTES_BESIDE_PAYLOAD: usize = 1024;
/// Bytes of a payload that is read from Redis at least: another server may take larger ones than we do.
pub const REDIS_PAYLOAD_BYTES_MIN: usize = 16 * 1024 * 1024;
/// Connections to Redis that a worker keeps descriptors for: two to each of sixteen nodes of a cluster.
pub const REDIS_CONNECTIONS_PER_WORKER: usize = 32;
/// Reads of connections to Redis in a tick, of as many bytes as the scratch buffer has: what is sent faster than it is
/// taken is Redis's to hold, and must not starve the clients.
pub const OUTBOUND_READS_PER_TICK: usize = 8;
/// Connections that a worker begins to make in a tick.
pub const DIALS_PER_TICK: usize = 64;
/// Requests and reports between hub and Redis in one go.
pub const BACKPLANE_STEPS_PER_TICK: usize = 16_384;
/// Names that wait to be looked up.
pub const LOOK_UPS_MAX: usize = 256;
/// Addresses of one name that are tried.
pub const ADDRESSES_PER_NAME_MAX: usize = 16;

/// Buffers in one vectored write.
pub const SLICES_PER_WRITE: usize = 24;

/// Log lines that wait to be written; what is said beyond is dropped and counted.
pub const LOG_LINES_WAITING_MAX: usize = 1024;
/// Bytes of what one log line says.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Time a publisher waits for a follower without credit before it is answered all the same.
pub const FOLLOWER_STALL_MS: u64 = 1000;
/// Time a replica without subscribers is kept warm.
pub const REPLICA_IDLE_MS: u64 = 10_000;

/// Messages of a topic that were heard and wait for what is missing before them; more are read again.
pub const HEARD_EARLY_MAX: usize = 64;
/// Time in which a message that is known to be there is heard; then it is read.
pub const HEAR_MS: u64 = 250;
/// Time after which a topic that could not be read is tried again, about.
pub const READ_RETRY_MS: u64 = 1_000;

/// Panics of one worker in [`PANICS_WINDOW_MS`] after which the process ends, rather than begin anew.
pub const PANICS_MAX: usize = 5;
/// The time in which panics are counted.
pub const PANICS_WINDOW_MS: u64 = 60_000;

/// `64K`, `1M`, `2G` or a plain number of bytes, at least 1.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|&size| size > 0)
        .ok_or_else(|| "give a size of at least 1, such as 4096, 64K, 1M or 2G".to_owned())
}

/// A size of at most 1G: lengths of messages, encoded, are counted in 32 bits.
pub(crate) fn parse_message_size(text: &str) -> Result<usize, String> {
    let size = parse_size(text)?;
    let fits = size <= 1 << 30;
    fits.then_some(size).ok_or_else(|| "give at most 1G: no message can be larger".to_owned())
}

/// Seconds with an optional fraction, in milliseconds; 1 ms to 10 years.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as 15 or 0.5".to_owned())?;
    if (0.001..=315_360_000.0).contains(&seconds) {
        Ok((seconds * 1000.0).round() as u64)
    } else {
        Err("give between 0.001 and 315360000 seconds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_suffixes_and_refuse_nonsense() {
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("7"), Ok(7));
        for bad in ["", "0", "K", "-1", "1T", "1.5M", "99999999999999999999", "9999999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_message_can_be_larger_than_its_length_can_be_counted() {
        assert_eq!(parse_message_size("1G"), Ok(1 << 30));
        assert!(parse_message_size("1073741825").is_err());
    }

    #[test]
    fn seconds_take_fractions_and_refuse_nonsense() {
        assert_eq!(parse_seconds("0.25"), Ok(250));
        for bad in ["", "0", "-1", "NaN", "inf", "1e99", "x"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_flags() {
        let limits = Limits::default();
        assert_eq!(limits.head_bytes_max, 16 * 1024);
        assert_eq!(limits.heartbeat_ms, 15_000);
    }
}
