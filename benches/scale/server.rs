//! A server in a process of its own, on cores of its own; /proc says what it used.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where servers run, unless a row says otherwise.
pub(crate) const SERVER_CORE: &str = "0";
/// Where the load generator runs.
pub(crate) const GENERATOR_CORE: &str = "1";
pub(crate) const BOTH_CORES: &str = "0,1";

/// Who serves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Tidings,
    /// See `floor`.
    Floor,
}

/// A running server. It is killed when this goes away, also on a panic.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) who: Who,
    pub(crate) address: SocketAddr,
}

/// The CPU of a server's threads. Its files stay open: a look costs a few microseconds.
#[derive(Debug)]
pub(crate) struct Meter {
    threads: Vec<File>,
}

/// The tidings that serves and generates: as built for this run, or another build to compare with.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SCALE_TIDINGS")
        .map_or_else(|| env!("CARGO_BIN_EXE_tidings").into(), Into::into)
}

/// `program` on these cores only, killed when this process ends, however it does. setpriv and taskset become
/// the program: the process is the child itself.
pub(crate) fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", cores]).arg(program);
    command
}

impl Server {
    /// One worker on one core, with no limits that strangers have and nothing else changed but `flags`.
    pub(crate) fn tidings(flags: &[&str]) -> Self {
        Self::tidings_on(SERVER_CORE, 1, flags)
    }

    pub(crate) fn tidings_on(cores: &str, workers: usize, flags: &[&str]) -> Self {
        let mut command = pinned(cores, &binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--workers", &workers.to_string()]);
        command.args(["--connections-per-address", "1000000", "--reads-per-second", "1000000"]);
        command.args(["--requests-max", "4294967295"]);
        Self::start(Who::Tidings, command.args(flags))
    }

    /// The floor; `wire` is what its subscribers speak.
    pub(crate) fn floor(wire: &str) -> Self {
        Self::floor_on(SERVER_CORE, wire)
    }

    pub(crate) fn floor_on(cores: &str, wire: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::start(Who::Floor, pinned(cores, &program).args(["floor-server", wire]))
    }

    /// Starts it and reads the address from the first line that has one.
    fn start(who: Who, command: &mut Command) -> Self {
        command.env("RUST_LOG", "info").env("RUST_LOG_STYLE", "never");
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!("setpriv (of util-linux) cannot be started: {error}")
            });
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let parse = |line: &str| line.split("http://").nth(1)?.split('/').next()?.parse().ok();
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            let length = stderr.read_line(&mut said).unwrap();
            if let Some(address) = parse(&said[start..]) {
                break address;
            }
            if length == 0 {
                let _ = child.kill();
                panic!("the server did not say where it listens but {said:?}");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, who, address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A look at the CPU of its threads, as they are now.
    pub(crate) fn meter(&self) -> Meter {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let open = |task: std::fs::DirEntry| File::open(task.path().join("schedstat")).unwrap();
        Meter { threads: tasks.map(|task| open(task.unwrap())).collect() }
    }
}

impl Meter {
    /// Seconds of CPU that each thread has used; exact while they sleep, behind by up to a tick of the
    /// kernel while they run.
    pub(crate) fn threads(&self) -> Vec<f64> {
        self.threads.iter().map(seconds).collect()
    }

    /// The same of all of them.
    pub(crate) fn sum(&self) -> f64 {
        self.threads.iter().map(seconds).sum()
    }
}

/// Its first number is nanoseconds on a core. The file is made anew for each read from its beginning.
fn seconds(schedstat: &File) -> f64 {
    let mut text = [0; 64];
    let length = schedstat.read_at(&mut text, 0).unwrap();
    let digits = text[..length].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0.0, |sum, digit| sum * 10.0 + f64::from(digit - b'0')) / 1e9
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
