//! Servers of Redis, each with a folder and a port of its own, that end with their test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    folder: PathBuf,
}

/// A port that nobody has, and whose port for the cluster bus nobody has either.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bus = port.checked_add(10_000);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return port;
        }
    }
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at(free_port(), options)
    }

    pub(crate) fn start_at(port: u16, options: &[&str]) -> Self {
        Self::launch("redis-server", port, |folder| {
            let dir = folder.to_string_lossy().into_owned();
            let plain = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", &dir];
            let mut all: Vec<String> = plain.iter().map(|&option| option.to_owned()).collect();
            all.extend(["--port".to_owned(), port.to_string()]);
            all.extend(options.iter().map(|&option| option.to_owned()));
            all
        })
    }

    /// A sentinel, of which one is enough for a failover.
    pub(crate) fn start_sentinel(primary: u16, service: &str) -> Self {
        let port = free_port();
        Self::launch("redis-sentinel", port, |folder| {
            let file = folder.join("sentinel.conf");
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {service} 127.0.0.1 {primary} 1\n\
                 sentinel down-after-milliseconds {service} 1000\n\
                 sentinel failover-timeout {service} 5000\n"
            );
            fs::write(&file, text).unwrap();
            vec![file.to_string_lossy().into_owned()]
        })
    }

    fn launch(program: &str, port: u16, arguments: impl FnOnce(&PathBuf) -> Vec<String>) -> Self {
        let folder = std::env::temp_dir().join(format!("backplane-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments(&folder))
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server and redis-sentinel are installed");
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "port {port} is not served");
            std::thread::yield_now();
        }
        Self { port, child, folder }
    }

    /// What `redis-cli` says.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) fn cli(port: u16, arguments: &[&str]) -> String {
    let output =
        Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A cluster of three primaries.
pub(crate) fn cluster() -> Vec<Server> {
    let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&options)).collect();
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    let output = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-yes"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let until = Instant::now() + Duration::from_secs(20);
    for server in &servers {
        while !server.cli(&["cluster", "info"]).contains("cluster_state:ok") {
            assert!(Instant::now() < until, "the cluster does not come up");
        }
    }
    servers
}
