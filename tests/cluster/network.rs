//! A network between the servers and Redis that loses packets: Redis in a network namespace of its own, at the far end of
//! a cable that can be made narrow, or a hole.
//!
//! The namespaces have no names and end with the processes in them. Making them needs root; where it cannot be
//! done, the test says so and proves nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::audit::Rules;
use crate::folder::{Folder, free_port};
use crate::load::{Load, Size};
use crate::redis::Redis;
use crate::tidings::Group;

/// Set in the process that runs inside.
const INSIDE: &str = "TIDINGS_TEST_IS_INSIDE";
const TEST: &str = "network::packets_that_are_lost_between_servers_and_redis_cost_nobody_anything";
/// Addresses of the cable's ends.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// No packet is as small as what this lets pass.
const HOLE: [&str; 6] = ["rate", "8bit", "burst", "10b", "limit", "10b"];
/// Less than the load wants at once: the rest is dropped.
const NARROW: [&str; 6] = ["rate", "1mbit", "burst", "1600b", "limit", "1600b"];

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

/// A Redis in a namespace of its own, at the far end of a cable.
fn redis_at_the_far_end() -> Redis {
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far"]);
    let (folder, port) = (Folder::new(), free_port().to_string());
    let script = format!(
        "echo ready; read go; ip addr add {FAR}/24 dev far && ip link set far up && \
         exec redis-server --bind {FAR} --port {port} --save '' --appendonly no --protected-mode no"
    );
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(folder.log())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut log = folder.log();
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut log));
    run("ip", &["link", "set", "far", "netns", &child.id().to_string()]);
    run("ip", &["addr", "add", &format!("{NEAR}/24"), "dev", "near"]);
    run("ip", &["link", "set", "near", "up"]);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    Redis::started(child, FAR, port.parse().unwrap(), folder)
}

/// Who sends into the cable.
#[derive(Copy, Clone, Debug)]
enum End {
    Near,
    Far,
}

fn device(end: End) -> &'static str {
    match end {
        End::Near => "near",
        End::Far => "far",
    }
}

/// `tc`, where one end of the cable is.
fn traffic_control(end: End, redis: &Redis, arguments: &[&str]) -> String {
    let id = redis.id().to_string();
    let mut command = match end {
        End::Near => Command::new("tc"),
        End::Far => {
            let mut command = Command::new("nsenter");
            command.args(["--net", "--target", &id, "tc"]);
            command
        }
    };
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What one end sends is limited from now on, or no longer.
fn limit(end: End, redis: &Redis, limit: Option<[&str; 6]>) {
    match limit {
        Some(limit) => {
            let device = device(end);
            let verb = ["qdisc", "replace", "dev", device, "root", "tbf"];
            traffic_control(end, redis, &[&verb[..], &limit].concat());
        }
        None => drop(traffic_control(end, redis, &["qdisc", "del", "dev", device(end), "root"])),
    }
}

/// Packets that one end has lost since it was limited.
fn dropped(end: End, redis: &Redis) -> u64 {
    let text = traffic_control(end, redis, &["-s", "qdisc", "show", "dev", device(end)]);
    let (_, rest) = text.split_once("(dropped ").unwrap_or_else(|| panic!("{text}"));
    rest.split_once(',').unwrap().0.parse().unwrap()
}

fn inside() {
    let redis = redis_at_the_far_end();
    let group = Group::at(&redis.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for end in [End::Near, End::Far] {
        limit(end, &redis, Some(NARROW));
        load.run_for(Duration::from_secs(3));
        let lost = dropped(end, &redis);
        assert!(lost > 0, "{end:?}: {lost} packets were lost");
        limit(end, &redis, None);
        load.mark(&format!("{end:?}: a cable that lost {lost} packets"));
        // Shorter than a silent connection is kept, and longer.
        for seconds in [2, 8] {
            limit(end, &redis, Some(HOLE));
            load.run_for(Duration::from_secs(seconds));
            limit(end, &redis, None);
            load.mark(&format!("{end:?}: a hole of {seconds} s"));
        }
    }
    load.finish(Rules::STRICT);
}

#[test]
#[ignore = "needs redis-server and root: tests/run --only cluster"]
fn packets_that_are_lost_between_servers_and_redis_cost_nobody_anything() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let try_it = "ip link add near type veth peer name far && ip link set near up && \
                  tc qdisc add dev near root tbf rate 8bit burst 10b limit 10b";
    let may =
        Command::new("unshare").args(["--net", "sh", "-c", try_it]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!(
            "NOT TESTED: no network namespace can be made here (unshare --net, ip, tc; needs root)"
        );
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .arg("--net")
        .arg(program)
        .args(["--exact", TEST, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (said, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What it measured, but not the verdict of a test run of its own.
    said.lines().filter(|line| line.starts_with("  ")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "inside the namespace: {complaints}");
}
