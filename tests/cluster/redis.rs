//! A Redis server as a process, and sentinels, which are the same program.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::folder::{Folder, free_port, until};
use crate::resp::{Resp, Value};

/// How long a process may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis server, which ends with this value.
pub struct Redis {
    child: Child,
    host: Ipv4Addr,
    pub port: u16,
    /// The whole command but the port.
    arguments: Vec<String>,
    folder: Folder,
}

impl Redis {
    /// A server that keeps nothing, with these flags besides.
    pub fn start(flags: &[&str]) -> Self {
        let plain =
            ["--save", "", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"];
        Self::start_with(|_, _| [&plain, flags].concat().iter().map(ToString::to_string).collect())
    }

    /// A server whose arguments depend on its folder and port.
    pub fn start_with(arguments: impl Fn(&Folder, u16) -> Vec<String>) -> Self {
        for _ in 0..5 {
            let (folder, port) = (Folder::new(), free_port());
            let arguments = arguments(&folder, port);
            let child = spawn(port, &arguments, &folder);
            let host = Ipv4Addr::LOCALHOST;
            let mut redis = Self { child, host, port, arguments, folder };
            if redis.comes_up() {
                return redis;
            }
            // Somebody else may have taken the port.
            eprintln!("a Redis server does not start: {}", redis.folder.log_text());
        }
        panic!("no Redis server starts");
    }

    /// A server that was started somewhere else, with its log in this folder.
    pub fn started(child: Child, host: Ipv4Addr, port: u16, folder: Folder) -> Self {
        let mut redis = Self { child, host, port, arguments: Vec::new(), folder };
        assert!(redis.comes_up(), "a Redis server starts at {host}");
        redis
    }

    fn comes_up(&mut self) -> bool {
        let (host, port) = (self.host, self.port);
        let mut ended = false;
        until("a Redis server answers", PATIENCE, || {
            ended = self.child.try_wait().unwrap().is_some();
            let answer = Resp::dial(host, port).and_then(|mut redis| redis.ask(&["PING"]));
            // It may want a password first: that too is an answer.
            ended || answer.is_ok_and(|answer| !answer.text().starts_with("LOADING"))
        });
        !ended
    }

    pub fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log_text(&self) -> String {
        self.folder.log_text()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it where it was, with what it has kept.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.arguments, &self.folder);
        assert!(self.comes_up(), "it starts again at port {}", self.port);
    }

    /// Stands still for a time.
    pub fn stop_for(&self, time: Duration) {
        self.signal("-STOP");
        thread::sleep(time);
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Value {
        let answer = Resp::dial(self.host, self.port).and_then(|mut redis| redis.ask(words));
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Asks for something that Redis must do.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> Value {
        let answer = self.ask(words);
        assert!(!matches!(answer, Value::Error(_)), "{words:?}: {answer:?}");
        answer
    }

    /// A line of INFO.
    pub fn info(&self, name: &str) -> String {
        let text = self.ask(&["INFO", "everything"]);
        let line = text.text().lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_default().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, arguments: &[String], folder: &Folder) -> Child {
    let (program, rest) = match arguments.split_first() {
        Some((first, rest)) if first == "redis-sentinel" => ("redis-sentinel", rest),
        _ => ("redis-server", arguments),
    };
    let mut command = Command::new(program);
    if program == "redis-server" {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
        command.arg("--dir").arg(folder.path());
    }
    let log = folder.log();
    command
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}: apt-get install redis-server redis-sentinel")
        })
}

/// One primary, two replicas, and three sentinels.
pub struct Sentinels {
    pub servers: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

impl Sentinels {
    /// What the sentinels call the servers.
    pub const SERVICE: &str = "tides";

    pub fn start() -> Self {
        let primary = Redis::start(&[]);
        let port = primary.port.to_string();
        let replica = || Redis::start(&["--replicaof", "127.0.0.1", &port]);
        let servers = vec![replica(), replica(), primary];
        for replica in &servers[..2] {
            until("a replica follows", PATIENCE, || replica.info("master_link_status") == "up");
        }
        let sentinels: Vec<Redis> = (0..3).map(|_| sentinel(&port)).collect();
        let group = Self { servers, sentinels };
        group.await_settled();
        group
    }

    /// `redis-sentinel://…` with all of them.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis-sentinel://{}/{}", hosts.join(","), Self::SERVICE)
    }

    /// The port of the server that takes writes, as a sentinel says.
    pub fn primary_port(&self) -> u16 {
        let answer = self.sentinels[0].ask(&["SENTINEL", "get-master-addr-by-name", Self::SERVICE]);
        match &answer {
            Value::List(parts) => parts[1].text().parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn primary(&mut self) -> &mut Redis {
        let port = self.primary_port();
        self.servers.iter_mut().find(|server| server.port == port).unwrap()
    }

    /// Every sentinel knows both others and which server is primary, and the other two follow that.
    pub fn await_settled(&self) {
        until("the sentinels agree", Duration::from_secs(40), || {
            let port = self.primary_port().to_string();
            let follows = |server: &&Redis| {
                server.info("master_port") == port && server.info("master_link_status") == "up"
            };
            self.sentinels.iter().all(|sentinel| knows(sentinel, &port))
                && self.servers.iter().filter(follows).count() == 2
        });
    }

    /// Asks for a failover, which a sentinel refuses while it does not know of a replica that is good for it.
    pub fn fail_over(&self) {
        until("a sentinel begins a failover", Duration::from_secs(20), || {
            let answer = self.sentinels[0].ask(&["SENTINEL", "FAILOVER", Self::SERVICE]);
            !matches!(answer, Value::Error(_))
        });
    }
}

fn knows(sentinel: &Redis, primary_port: &str) -> bool {
    let Value::List(words) = sentinel.ask(&["SENTINEL", "master", Sentinels::SERVICE]) else {
        return false;
    };
    let words: Vec<&str> = words.iter().map(Value::text).collect();
    let value =
        |name: &str| words.iter().position(|word| *word == name).map_or("", |at| words[at + 1]);
    value("port") == primary_port
        && value("num-slaves") == "2"
        && value("num-other-sentinels") == "2"
        && value("flags") == "master"
}

fn sentinel(primary_port: &str) -> Redis {
    Redis::start_with(|folder, port| {
        let service = Sentinels::SERVICE;
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {service} 127.0.0.1 {primary_port} 2\n\
             sentinel down-after-milliseconds {service} 2000\nsentinel failover-timeout {service} 4000\n\
             sentinel parallel-syncs {service} 2\n",
            folder.path().display()
        );
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        vec!["redis-sentinel".to_owned(), file.display().to_string()]
    })
}
