//! The server's log: lines that a thread of its own writes to standard error.
//!
//! Nobody else waits for it. Whoever has something to say puts a line into a bounded channel; when that is
//! full, as standard error is a pipe that nobody reads or a disk that is full, the line is dropped and
//! counted, and the count is said when there is room again.
//!
//! A record is one line, whatever is in it: what a peer chose could otherwise pass for a line of ours, or
//! talk to the terminal of who reads it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::panic;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use env_logger::{Builder, Env};
use log::Record;

use crate::counters::LOG_LINES_DROPPED;
use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_WAITING_MAX};

/// How long an exit waits for lines to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// What the writing thread is sent.
enum Order {
    Write(Vec<u8>),
    /// Say here when everything before has been written.
    Flush(Sender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
pub(super) struct Log {
    orders: Sender<Order>,
}

impl Log {
    /// Begins to log, as `RUST_LOG` says; a panic is logged too.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start() -> io::Result<Self> {
        let (orders, taken) = bounded(LOG_LINES_WAITING_MAX);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&taken))?;
        let log = Self { orders };
        // The lines go through a pipe of ours: what is at its end decides on colours, unless told.
        let style = if io::stderr().is_terminal() { "always" } else { "auto" };
        let environment = Env::default().default_filter_or("info").default_write_style_or(style);
        Builder::from_env(environment)
            .format(|line, record| {
                let (time, style) = (line.timestamp(), line.default_level_style(record.level()));
                let (level, target) = (record.level(), record.target());
                let text = one_line(record);
                writeln!(line, "[{time} {style}{level:<5}{style:#} {target}] {text}")
            })
            .target(env_logger::Target::Pipe(Box::new(log.clone())))
            .init();
        panic::set_hook(Box::new(log_panic));
        Ok(log)
    }

    /// Waits until everything said so far is written, but not for ever.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_MAX;
        let (written, is_written) = bounded(1);
        if self.orders.send_deadline(Order::Flush(written), deadline).is_ok() {
            // When standard error takes nothing, there is nobody to tell.
            let _ = is_written.recv_deadline(deadline);
        }
    }
}

/// One call is one line: env_logger passes a record's whole.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.orders.try_send(Order::Write(line.to_vec())).is_err() {
            LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(orders: &Receiver<Order>) {
    let mut said = 0;
    for order in orders {
        match order {
            Order::Write(line) => {
                if io::stderr().write_all(&line).is_err() {
                    // Nothing can be said about it either.
                    LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
                    said += 1;
                }
            }
            Order::Flush(written) => {
                let _ = written.send(());
            }
        }
        let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
        if orders.is_empty() && dropped > said {
            log::warn!("{} log lines were dropped, as nobody took them", dropped - said);
            said = dropped;
        }
    }
}

/// A panic goes the way of every line: standard error may be stuck.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let thread = thread::current();
    log::error!("thread {}: {panic}", thread.name().unwrap_or("without a name"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        backtrace.to_string().lines().for_each(|line| log::error!("{line}"));
    }
}

/// What a record says, on one line, with everything escaped that does not show, up to a length.
fn one_line(record: &Record<'_>) -> String {
    let mut line = OneLine(String::new());
    if write!(line, "{}", record.args()).is_err() {
        line.0.push('…');
    }
    line.0
}

struct OneLine(String);

impl fmt::Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() + character.len_utf8() > LOG_LINE_BYTES_MAX {
                return Err(fmt::Error);
            }
            match character {
                '"' | '\'' => self.0.push(character),
                _ => self.0.extend(character.escape_debug()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        one_line(&Record::builder().args(format_args!("{text}")).build())
    }

    #[test]
    fn a_record_is_one_line_that_shows_all_that_is_in_it() {
        assert_eq!(line("it's \"fine\": größer, 日本"), "it's \"fine\": größer, 日本");
        let hostile = "a\r\n[2026 INFO] forged \u{1b}[31m \0 \u{202e}nimda \u{2028} \\n";
        let expected = "a\\r\\n[2026 INFO] forged \\u{1b}[31m \\0 \\u{202e}nimda \\u{2028} \\\\n";
        assert_eq!(line(hostile), expected);
    }

    #[test]
    fn a_long_record_is_cut() {
        let cut = line(&"€".repeat(LOG_LINE_BYTES_MAX));
        assert!(cut.len() <= LOG_LINE_BYTES_MAX + '…'.len_utf8(), "{}", cut.len());
        assert!(cut.ends_with("€…"));
        assert_eq!(line(&"x".repeat(LOG_LINE_BYTES_MAX)).len(), LOG_LINE_BYTES_MAX);
        // An escape may lengthen the last character, and no more.
        assert!(line(&"\u{202e}".repeat(LOG_LINE_BYTES_MAX)).len() < LOG_LINE_BYTES_MAX + 16);
    }
}
