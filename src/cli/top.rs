//! `tidings top`: a server at work, on a terminal, refreshed every second.

mod scrape;
mod terminal;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::base_url::BaseUrl;
use scrape::{Scraper, Snapshot};
use terminal::{Terminal, Woken};
use view::View;

const EXAMPLES: &str = "\
Examples:
  tidings top                          the server at http://127.0.0.1:8080
  tidings top http://127.0.0.1:9090    one that has --admin-listen 127.0.0.1:9090
  tidings top --once                   one look, for a script or a log

The server shows its numbers at an address of --admin-listen; if it has none, at a --listen address
that only its own machine can reach. q or Ctrl-C ends. Without a terminal it looks once. NO_COLOR=1
keeps colours away.

Exit codes: 0; 1 when --once cannot reach the server; 2 when the command line is wrong.";

/// Rows of a table when nothing says how high the screen is.
const ROWS_PLAIN: usize = 10;
/// The size of a screen that does not say it.
const SIZE_PLAIN: (usize, usize) = (100, 2 * ROWS_PLAIN + 16);

/// The flags of `tidings top`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct TopArguments {
    /// Base URL of the server, or of its operator's address
    #[arg(value_name = "URL", env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Print what there is after one interval, and exit
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval)]
    interval: Duration,
}

/// 0.1 seconds to an hour.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as 1 or 0.5".to_owned())?;
    let is_fit = (0.1..=3_600.0).contains(&seconds);
    is_fit
        .then(|| Duration::from_secs_f64(seconds))
        .ok_or_else(|| "give between 0.1 and 3600 seconds".to_owned())
}

/// Runs the command; returns what to exit with.
#[must_use]
pub fn run(arguments: &TopArguments) -> ExitCode {
    let base = match BaseUrl::parse(&arguments.url) {
        Ok(base) => base,
        Err(why) => {
            eprintln!("tidings: {why}");
            return ExitCode::from(2);
        }
    };
    let scraper = Scraper::new(base);
    let result = if arguments.once || !io::stdout().is_terminal() {
        look_once(arguments, scraper)
    } else {
        watch(arguments, scraper)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tidings: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Two looks, an interval apart, and what came between them.
fn look_once(arguments: &TopArguments, mut scraper: Scraper) -> Result<(), String> {
    let before = scraper.look(0)?;
    std::thread::sleep(arguments.interval);
    let now = scraper.look(ROWS_PLAIN)?;
    let view = View { url: &arguments.url, before: Some(&before), now: &now, trouble: None };
    let has_color = io::stdout().is_terminal() && colors_are_wanted();
    let lines = view.lines(SIZE_PLAIN.0, SIZE_PLAIN.1, has_color);
    match writeln!(io::stdout(), "{}", lines.join("\n")) {
        // `tidings top --once | head -3` has ended well.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot print: {error}")),
    }
}

/// Looks again and again, until somebody has seen enough.
fn watch(arguments: &TopArguments, mut scraper: Scraper) -> Result<(), String> {
    let mut terminal = Terminal::open().map_err(|error| format!("no terminal: {error}"))?;
    let has_color = colors_are_wanted();
    let (mut before, mut now): (Option<Snapshot>, Option<Snapshot>) = (None, None);
    loop {
        let due = Instant::now() + arguments.interval;
        let (_, height) = terminal.size().unwrap_or(SIZE_PLAIN);
        let trouble = match scraper.look(height / 2) {
            Ok(snapshot) => {
                before = now.replace(snapshot);
                None
            }
            Err(why) => Some(why),
        };
        loop {
            let (width, height) = terminal.size().unwrap_or(SIZE_PLAIN);
            let lines = match &now {
                Some(now) => {
                    let trouble = trouble.as_deref();
                    let view = View { url: &arguments.url, before: before.as_ref(), now, trouble };
                    view.lines(width, height, has_color)
                }
                None => {
                    vec![trouble.clone().unwrap_or_default(), "trying again; q ends".to_owned()]
                }
            };
            terminal.draw(&lines).map_err(|error| format!("cannot print: {error}"))?;
            match terminal.wait(due) {
                Woken::ToEnd => return Ok(()),
                // It has another size now.
                Woken::ToDraw => (),
                Woken::Due => break,
            }
        }
    }
}

/// <https://no-color.org>: set, and not empty.
fn colors_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
