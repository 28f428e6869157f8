//! Each line of the input as a message, over one streamed `POST /topics` (protocol 5.3).
//!
//! ```text
//! input ──reader thread──▶ lines ──▶ this thread ──▶ request, a chunk at a time
//!                                        │ window of lines without an answer
//!                                        ◀── answers ◀──reader thread── response
//! ```
//!
//! Invariant: every line is in exactly one place: not yet taken, in the window, or answered. After
//! a loss the window is sent again; each line has its key, so those that had arrived are not doubled.

mod answers;
mod encode;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::base_url::BaseUrl;
use super::coming_back::{BackOff, Failure};
use super::http::{Connection, USER_AGENT, connect};
use super::lines::read_line;
use super::publish::{PublishArguments, wait_to_retry};
use answers::{Answer, Outcome, Problem, read_answers, watch_peer};
use encode::encode_line;

/// The window: how much may be without an answer.
const WINDOW_LINES_MAX: usize = 4096;
const WINDOW_BYTES_MAX: usize = 16 << 20;

/// Lines that were read ahead of the window.
const LINES_AHEAD_MAX: usize = 1024;

/// Lines that are there together go out in chunks of about this size.
const CHUNK_BYTES: usize = 64 << 10;

/// Publishes `input` a line a message; `false` when some lines were refused.
pub(super) fn publish(
    arguments: &PublishArguments,
    base: &BaseUrl,
    key: String,
    input: impl BufRead + Send + 'static,
) -> Result<bool, Failure> {
    let (sender, lines) = bounded(LINES_AHEAD_MAX);
    thread::spawn(move || read_input(input, &sender));
    let progress = progress_bar(arguments.quiet);
    let mut publisher = Publisher {
        arguments,
        base,
        key,
        lines,
        taken: 0,
        window: VecDeque::new(),
        window_bytes: 0,
        input_ended: false,
        all_published: true,
        back_off: BackOff::default(),
        progress,
    };
    let outcome = publisher.run();
    // Off the terminal, the bar is hidden and this prints nothing.
    publisher.progress.abandon();
    outcome.map(|()| publisher.all_published)
}

/// The count and the rate, on a terminal; nothing anywhere else.
fn progress_bar(quiet: bool) -> ProgressBar {
    let progress = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // A rate that cannot be written is a rate that is not shown.
        let _ = write!(out, "{:.0}", state.per_sec());
    };
    if let Ok(style) = ProgressStyle::with_template("{pos} published, {rate} a second, {elapsed}") {
        progress.set_style(style.with_key("rate", rate));
    }
    if !progress.is_hidden() {
        progress.enable_steady_tick(Duration::from_millis(250));
    }
    progress
}

/// What the input has: a line, or why there are no more.
type Line = io::Result<Vec<u8>>;

fn read_input(mut input: impl BufRead, lines: &Sender<Line>) {
    let mut line = Vec::new();
    loop {
        let next = match read_line(&mut input, &mut line) {
            Ok(true) => Ok(std::mem::take(&mut line)),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let failed = next.is_err();
        // Nobody takes lines any more: the publisher has given up.
        if lines.send(next).is_err() || failed {
            return;
        }
    }
}

/// A line that has no answer yet.
struct Unanswered {
    /// Its number in the input, from 1.
    number: u64,
    /// As it is sent, with its line end.
    encoded: Vec<u8>,
}

struct Publisher<'a> {
    arguments: &'a PublishArguments,
    base: &'a BaseUrl,
    key: String,
    lines: Receiver<Line>,
    /// How many lines were taken from the input.
    taken: u64,
    window: VecDeque<Unanswered>,
    window_bytes: usize,
    input_ended: bool,
    all_published: bool,
    back_off: BackOff,
    progress: ProgressBar,
}

impl Publisher<'_> {
    /// One connection after another, until the input has ended and everything is answered.
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            // A connection is opened when there is something to send: a quiet log costs none.
            while self.window.is_empty() {
                match self.lines.recv() {
                    Ok(line) => self.take_line(line)?,
                    Err(_) => return Ok(()),
                }
            }
            match self.stream() {
                Ok(()) => {}
                Err(Failure::Lost { .. }) if self.window.is_empty() => {}
                Err(Failure::Lost { why, hint }) => {
                    self.progress.suspend(|| {
                        wait_to_retry(&mut self.back_off, self.arguments.retries, why, hint)
                    })?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Sends the window and what comes over one connection, until its answer ends.
    fn stream(&mut self) -> Result<(), Failure> {
        let stream = connect(self.base)?;
        watch_peer(&stream)?;
        let reader = stream.try_clone()?;
        // An answer for each line in the window, and the end: a server that sends more has to wait.
        let (sender, answers) = bounded(WINDOW_LINES_MAX + 1);
        thread::spawn(move || read_answers(Connection::over(reader), &sender));
        let sent = self.send(&stream, &answers);
        if !matches!(sent, Ok(true)) {
            // Ends the reader, but not before it has read what was received.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let ended = self.read_rest(&answers);
        match (sent, ended) {
            (Err(Failure::Lost { .. }) | Ok(_), Err(failure)) => Err(failure),
            (sent, Ok(())) if self.window.is_empty() => sent.map(drop),
            (Err(failure), _) => Err(failure),
            (Ok(_), Ok(())) => Err(Failure::lost("the server ended the answer early")),
        }
    }

    /// Writes the request while taking its answers; `true` when its end was written, `false` when
    /// the answer ended before that.
    fn send(
        &mut self,
        mut stream: &TcpStream,
        answers: &Receiver<Answer>,
    ) -> Result<bool, Failure> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{USER_AGENT}Content-Type: application/x-ndjson\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            self.base.target(&[], &[]),
            self.base.authority()
        );
        stream.write_all(head.as_bytes())?;
        // Everything in the window is without an answer, so all of it goes first.
        let mut sent = 0;
        let nothing = never();
        loop {
            sent = self.send_from(stream, sent)?;
            if self.input_ended {
                stream.write_all(b"0\r\n\r\n")?;
                return Ok(true);
            }
            let lines = if self.window_is_full() { &nothing } else { &self.lines };
            select! {
                recv(lines) -> line => match line {
                    Ok(line) => {
                        self.take_line(line)?;
                        self.take_waiting_lines()?;
                    }
                    Err(_) => self.input_ended = true,
                },
                recv(answers) -> answer => match answer {
                    Ok(Answer::Line(line)) => {
                        if self.handle_answer(&line)? {
                            sent -= 1;
                        }
                    }
                    Ok(Answer::Ended(outcome)) => return outcome.map(|()| false),
                    Err(_) => return Ok(false),
                },
            }
        }
    }

    /// Sends the lines of the window from this position on; returns the position behind the last.
    fn send_from(&self, mut stream: &TcpStream, mut sent: usize) -> Result<usize, Failure> {
        let mut chunk = Vec::new();
        while sent < self.window.len() {
            chunk.clear();
            for line in self.window.range(sent..) {
                chunk.extend_from_slice(&line.encoded);
                sent += 1;
                if chunk.len() >= CHUNK_BYTES {
                    break;
                }
            }
            let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
            stream.write_all(&framed)?;
        }
        Ok(sent)
    }

    /// Takes the answers that are still to come, to the end of the answer.
    fn read_rest(&mut self, answers: &Receiver<Answer>) -> Result<(), Failure> {
        for answer in answers {
            match answer {
                Answer::Line(line) => drop(self.handle_answer(&line)?),
                Answer::Ended(outcome) => return outcome,
            }
        }
        Ok(())
    }

    fn window_is_full(&self) -> bool {
        self.window.len() >= WINDOW_LINES_MAX || self.window_bytes >= WINDOW_BYTES_MAX
    }

    /// Takes lines that are there already, as many as make a good chunk.
    fn take_waiting_lines(&mut self) -> Result<(), Failure> {
        let begin = self.window_bytes;
        while !self.window_is_full() && self.window_bytes - begin < CHUNK_BYTES {
            match self.lines.try_recv() {
                Ok(line) => self.take_line(line)?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Puts a line into the window; one that cannot be sent is a failed line.
    fn take_line(&mut self, line: Line) -> Result<(), Failure> {
        let line = line.map_err(Failure::Local)?;
        self.taken += 1;
        if self.arguments.json && line.trim_ascii().is_empty() {
            return Ok(());
        }
        let number = self.taken;
        match encode_line(self.arguments, &format!("{}-{number}", self.key), &line) {
            Ok(encoded) => {
                self.window_bytes += encoded.len();
                self.window.push_back(Unanswered { number, encoded });
            }
            Err(why) => self.fail_line(number, &why),
        }
        Ok(())
    }

    /// Handles one line of the answer; whether it was about a message.
    fn handle_answer(&mut self, line: &[u8]) -> Result<bool, Failure> {
        if line.is_empty() {
            return Ok(false);
        }
        let Ok(outcome) = serde_json::from_slice::<Outcome>(line) else {
            return Err(Failure::Final(format!("{} does not answer like tidings", self.base)));
        };
        // Protocol 5.3: the answers come in the order of the lines.
        let Some(answered) = self.window.pop_front() else {
            return Err(Failure::Final(
                "the server answered more lines than it was sent".to_owned(),
            ));
        };
        self.window_bytes -= answered.encoded.len();
        self.back_off.reset();
        match outcome.error {
            None => self.progress.inc(1),
            Some(Problem { status, title, detail }) => {
                self.fail_line(answered.number, &format!("{status} {title}: {detail}"));
            }
        }
        Ok(true)
    }

    fn fail_line(&mut self, number: u64, why: &str) {
        self.all_published = false;
        self.progress.suspend(|| eprintln!("tidings: line {number}: {why}"));
    }
}

#[cfg(test)]
mod tests;
