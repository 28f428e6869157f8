//! `tidings health`: asks a server whether it is well, for supervisors that run a command to find out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::base_url::BaseUrl;
use super::coming_back::Failure;
use super::http::Connection;

/// How long an answer may take.
const SILENCE_MAX: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  tidings health                           the server on this machine
  tidings health --ready http://10.0.0.7   whether that one takes new clients, or is draining

Without a URL it asks the first address of TIDINGS_LISTEN, or else http://127.0.0.1:8080.
Exit codes: 0 when it is well, 1 when it is not or does not answer.";

/// The flags of `tidings health`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct HealthArguments {
    /// Base URL of the server
    #[arg(env = "TIDINGS_URL")]
    url: Option<String>,
    /// Ask whether it takes new clients (/readyz), and not only whether it runs (/healthz)
    #[arg(long)]
    ready: bool,
}

/// Runs the command; returns what to exit with.
#[must_use]
pub fn run(arguments: &HealthArguments) -> ExitCode {
    match ask(arguments) {
        Ok(status) => {
            println!("{status}");
            if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("tidings: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The status that the server answers with.
fn ask(arguments: &HealthArguments) -> Result<u16, Failure> {
    let listen = std::env::var("TIDINGS_LISTEN").ok();
    let url = arguments.url.clone().unwrap_or_else(|| local_url(listen.as_deref()));
    let base = BaseUrl::parse(&url).map_err(Failure::Final)?;
    let target = base.resource(if arguments.ready { "/readyz" } else { "/healthz" });
    let head = Connection::open(&base, SILENCE_MAX)?.get(&base, &target, "*/*")?;
    Ok(head.status)
}

/// Where a server on this machine is that listens as `TIDINGS_LISTEN` says.
fn local_url(listen: Option<&str>) -> String {
    let first = listen.and_then(|listen| listen.split(',').next()?.parse::<SocketAddr>().ok());
    let mut address = first.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        assert_eq!(local_url(None), "http://127.0.0.1:8080");
        assert_eq!(local_url(Some("0.0.0.0:81,[::]:82")), "http://127.0.0.1:81");
        assert_eq!(local_url(Some("[::]:82")), "http://[::1]:82");
        assert_eq!(local_url(Some("192.0.2.1:83")), "http://192.0.2.1:83");
        assert_eq!(local_url(Some("nonsense")), "http://127.0.0.1:8080");
    }
}
