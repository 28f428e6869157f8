//! The flags of `tidings bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::clock::SECOND;
use super::examples;
use super::payload::MARKER_BYTES;
use super::schedule::{Extent, Pace};
use super::target::Preset;
use super::topics::parse_name;
use super::wire::Wire;

/// The flags of `tidings bench`.
#[derive(Debug, Args)]
#[command(after_help = examples::BENCH)]
pub struct BenchArguments {
    #[command(subcommand)]
    pub(super) scenario: Scenario,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(super) enum Scenario {
    /// Connections that only wait: bytes and CPU of each
    Idle(IdleArguments),
    /// How fast subscribers are taken in, and what each one costs
    Connect(ConnectArguments),
    /// Messages to many subscribers: latency to each and to the last, CPU per delivery
    Fanout(FanoutArguments),
    /// Publishing: one at a time, pipelined, and in batches; without subscribers and with some
    Publish(PublishArguments),
    /// Many topics with few subscribers each: bytes of an idle topic, CPU per message among many
    Topics(TopicsArguments),
    /// All subscribers are cut off, miss messages and come back at once: time until all have caught up
    Herd(HerdArguments),
    /// A small topic's latency while fan-outs of a huge one run
    Fairness(FairnessArguments),
    /// The same feed by polls, long polls, SSE, NDJSON and WebSocket: requests, bytes, latency, CPU of each
    Compare(CompareArguments),
}

impl Scenario {
    /// What every scenario has.
    pub(super) const fn common(&self) -> &CommonArguments {
        match self {
            Self::Idle(arguments) => &arguments.common,
            Self::Connect(arguments) => &arguments.common,
            Self::Fanout(arguments) => &arguments.common,
            Self::Publish(arguments) => &arguments.common,
            Self::Topics(arguments) => &arguments.common,
            Self::Herd(arguments) => &arguments.common,
            Self::Fairness(arguments) => &arguments.common,
            Self::Compare(arguments) => &arguments.common,
        }
    }
}

/// Flags of all scenarios.
#[derive(Debug, Args)]
pub(super) struct CommonArguments {
    #[command(flatten)]
    pub(super) target: TargetArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
    /// Name of the topic, or what names of topics begin with
    #[arg(long, value_name = "NAME", default_value = "bench", value_parser = parse_name)]
    pub(super) topic: String,
    /// Bytes of a message's payload, at least 32
    #[arg(long, value_name = "BYTES", default_value = "200", value_parser = parse_size)]
    pub(super) size: usize,
}

/// Which server is measured.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct TargetArguments {
    /// Base URL of a server that runs [default: one is started]
    #[arg(long, value_name = "BASE")]
    pub(super) url: Option<String>,
    /// What kind of server is there: which paths it has
    #[arg(long, value_name = "KIND", default_value = "tidings")]
    pub(super) target: Preset,
    /// Where to subscribe, on one wire or on all; {topic} stands for the topic
    #[arg(long, value_name = "[WIRE=]URL")]
    pub(super) subscribe_url: Vec<String>,
    /// Where to POST messages to; {topic} stands for the topic
    #[arg(long, value_name = "URL")]
    pub(super) publish_url: Option<String>,
    /// Process of the server: its CPU and memory, its children's included, are read from /proc
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Subscribers that connect at a time [default: 256, enough to keep a server busy; a herd comes all at once]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) connecting: Option<usize>,
    /// Flags for the server that is started, such as --server-flag='--workers 1'
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(super) server_flag: Vec<String>,
    /// Processors for the server that is started, such as 0 or 0-3 (needs taskset)
    #[arg(long, value_name = "LIST")]
    pub(super) server_cpus: Option<String>,
    /// Program to start as the server [default: this one]
    #[arg(long, value_name = "PROGRAM")]
    pub(super) server: Option<PathBuf>,
}

/// How findings are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArguments {
    /// Print the findings as one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Print the findings as Markdown
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
    /// Write a page with tables and plots
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// How fast, and for how long.
#[derive(Debug, Args)]
pub(super) struct PaceArguments {
    /// Messages per second, at times that are fixed beforehand (open loop) [default: 5]
    #[arg(long, value_name = "N", conflicts_with = "outstanding", value_parser = parse_positive)]
    pub(super) rate: Option<f64>,
    /// As fast as possible, with so many messages under way at any time (closed loop)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) outstanding: Option<u32>,
    /// Messages in all [default: as many as the duration takes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) messages: Option<u64>,
    /// Seconds of publishing
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(super) duration: u64,
    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_count)]
    pub(super) publishers: usize,
}

impl PaceArguments {
    /// The pace, `rate` unless something else was said.
    pub(super) fn pace(&self, rate: f64) -> Pace {
        match self.outstanding {
            Some(outstanding) => Pace::Outstanding(outstanding),
            None => Pace::PerSecond(self.rate.unwrap_or(rate)),
        }
    }

    /// What ends it.
    pub(super) fn extent(&self) -> Extent {
        self.messages.map_or(Extent::Time(self.duration), Extent::Count)
    }
}

/// Subscribers on one wire or on several.
#[derive(Debug, Args)]
pub(super) struct CrowdArguments {
    /// Wires of the subscribers, in equal parts
    #[arg(long, value_name = "WIRE", value_delimiter = ',', default_value = "sse")]
    pub(super) wire: Vec<Wire>,
    /// Subscribers in all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10_000, value_parser = parse_count)]
    pub(super) subscribers: usize,
}

/// Flags of `tidings bench idle`.
#[derive(Debug, Args)]
#[command(after_help = examples::IDLE)]
pub(super) struct IdleArguments {
    /// Wires to measure, one after the other, each on a fresh server if it is started here
    #[arg(
        long,
        value_name = "WIRE",
        value_delimiter = ',',
        default_value = "sse,ndjson,websocket,long-poll"
    )]
    pub(super) wire: Vec<Wire>,
    /// Connections from which on memory is counted
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = parse_count)]
    pub(super) few: usize,
    /// Connections up to which memory is counted
    #[arg(long, short = 'n', value_name = "N", default_value_t = 15_000, value_parser = parse_count)]
    pub(super) subscribers: usize,
    /// Seconds of rest for each wire; unless told otherwise tidings sends heartbeats every 15 s, pings every 25 s
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub(super) duration: u64,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench connect`.
#[derive(Debug, Args)]
#[command(after_help = examples::CONNECT)]
pub(super) struct ConnectArguments {
    /// Wires to measure, one after the other
    #[arg(long, value_name = "WIRE", value_delimiter = ',', default_value = "sse")]
    pub(super) wire: Vec<Wire>,
    /// Subscribers that connect
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10_000, value_parser = parse_count)]
    pub(super) subscribers: usize,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench fanout`.
#[derive(Debug, Args)]
#[command(after_help = examples::FANOUT)]
pub(super) struct FanoutArguments {
    #[command(flatten)]
    pub(super) crowd: CrowdArguments,
    #[command(flatten)]
    pub(super) pace: PaceArguments,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench publish`.
#[derive(Debug, Args)]
#[command(after_help = examples::PUBLISH)]
pub(super) struct PublishArguments {
    /// Ways to publish [default: all that the server has]
    #[arg(long, value_name = "WAY", value_delimiter = ',')]
    pub(super) way: Vec<Way>,
    /// Measure also with so many subscribers
    #[arg(long, short = 'n', value_name = "N", value_parser = parse_count)]
    pub(super) subscribers: Option<usize>,
    /// Wire of those subscribers
    #[arg(long, value_name = "WIRE", default_value = "sse")]
    pub(super) wire: Wire,
    /// A message is under way until all subscribers have it: the pace is theirs, not that of answers
    #[arg(long)]
    pub(super) until_delivered: bool,
    /// Requests under way when pipelining
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) outstanding: u32,
    /// Messages in a batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(super) lines: u32,
    /// Seconds for each way
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(super) duration: u64,
    /// Messages for each way, instead of a duration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) messages: Option<u64>,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// A way to publish.
#[derive(Copy, Clone, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Way {
    /// One request at a time
    Single,
    /// Several requests under way on one connection
    Pipelined,
    /// Many messages in one request
    Batch,
}

/// Flags of `tidings bench topics`.
#[derive(Debug, Args)]
#[command(after_help = examples::TOPICS)]
pub(super) struct TopicsArguments {
    /// Numbers of topics, each measured on a fresh server if it is started here
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,1000,100000",
        value_parser = clap::value_parser!(u32).range(1..=50_000_000)
    )]
    pub(super) topics: Vec<u32>,
    /// Topics that are published to: at most so many, spread among all
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) active: u32,
    /// Subscribers, in equal parts of the topics that are published to
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10_000, value_parser = parse_count)]
    pub(super) subscribers: usize,
    /// Their wire
    #[arg(long, value_name = "WIRE", default_value = "sse")]
    pub(super) wire: Wire,
    /// Seconds of publishing, without and with subscribers, for each number of topics
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(super) duration: u64,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench herd`.
#[derive(Debug, Args)]
#[command(after_help = examples::HERD)]
pub(super) struct HerdArguments {
    #[command(flatten)]
    pub(super) crowd: CrowdArguments,
    /// Messages that are published while they are away
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) behind: u64,
    /// Run this while they are away (a restart); when it prints a number last, that is the server's new process
    #[arg(long, value_name = "COMMAND")]
    pub(super) restart_command: Option<String>,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench fairness`.
#[derive(Debug, Args)]
#[command(after_help = examples::FAIRNESS)]
pub(super) struct FairnessArguments {
    /// Wire of all subscribers
    #[arg(long, value_name = "WIRE", default_value = "sse")]
    pub(super) wire: Wire,
    /// Subscribers of the huge topic
    #[arg(long, short = 'n', value_name = "N", default_value_t = 15_000, value_parser = parse_count)]
    pub(super) subscribers: usize,
    /// Subscribers of the small topic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_count)]
    pub(super) small_subscribers: usize,
    /// Messages per second to the small topic
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_positive)]
    pub(super) small_rate: f64,
    #[command(flatten)]
    pub(super) pace: PaceArguments,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

/// Flags of `tidings bench compare`.
#[derive(Debug, Args)]
#[command(after_help = examples::COMPARE)]
pub(super) struct CompareArguments {
    /// Ways to receive, beside short polls, one after the other
    #[arg(
        long,
        value_name = "WIRE",
        value_delimiter = ',',
        default_value = "long-poll,sse,ndjson,websocket"
    )]
    pub(super) wire: Vec<Wire>,
    /// Seconds between the polls of a client that polls; each is a way of its own
    #[arg(
        long,
        value_name = "SECONDS",
        value_delimiter = ',',
        default_value = "1,5",
        value_parser = parse_seconds
    )]
    pub(super) short_poll: Vec<u64>,
    /// Clients of each way
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200, value_parser = parse_count)]
    pub(super) subscribers: usize,
    /// Messages per second, at times that are fixed beforehand
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_positive)]
    pub(super) rate: f64,
    /// Seconds of each way
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = parse_seconds)]
    pub(super) duration: u64,
    /// Write a page about it, as Markdown
    #[arg(long, value_name = "FILE.md")]
    pub(super) write: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: CommonArguments,
}

fn parse_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (MARKER_BYTES..=1 << 20).contains(size));
    size.ok_or_else(|| {
        format!("give {MARKER_BYTES} to 1048576 bytes: a payload says when it was sent")
    })
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "give a number from 1 to 1000000".to_owned())
}

fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number| (0.001..=1e7).contains(&number));
    number.ok_or_else(|| "give a number from 0.001 to 10000000".to_owned())
}

/// Seconds, in nanoseconds.
fn parse_seconds(text: &str) -> Result<u64, String> {
    let seconds: Option<f64> = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| "give seconds from 0.1 to 86400".to_owned())?;
    Ok((seconds * SECOND as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_advice() {
        assert!(parse_size("10").unwrap_err().contains("32"));
        assert!(parse_count("0").is_err() && parse_count("x").is_err());
        assert!(parse_positive("nan").is_err() && parse_positive("0").is_err());
        assert!(parse_seconds("-1").is_err());
        assert_eq!(parse_seconds("1.5"), Ok(1_500_000_000));
    }
}
