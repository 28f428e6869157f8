//! SIGHUP: the file is read again, what can change does, and nobody is dropped.

use std::path::Path;

use crate::files::{Home, text};
use crate::support::*;

fn start(home: &Home, file: &Path, workers: usize) -> Server {
    let workers = workers.to_string();
    let arguments =
        ["serve", "--config", text(file), "--listen", "127.0.0.1:0", "--workers", &workers];
    Server::started(home.command(&arguments).spawn().unwrap())
}

/// The status of a publish of so many bytes, on a connection of its own: any worker may have it.
fn publish(server: &Server, topic: &str, bytes: usize) -> u16 {
    server.request("POST", &format!("/topics/{topic}"), &[], &vec![b'x'; bytes]).status
}

/// Waits until every worker has taken the reload: a publish of `bytes` gets `status` wherever it arrives.
fn await_status(server: &Server, bytes: usize, status: u16) {
    server.ask_until(&format!("{bytes} bytes get {status}"), || {
        (0..12).all(|_| publish(server, "probe", bytes) == status)
    });
}

#[test]
fn a_reload_changes_what_can_change_and_drops_nobody_on_any_wire() {
    for workers in [1, 2, 4] {
        let home = Home::new();
        let file = home.write("t.toml", "log-messages = 100\n");
        let server = start(&home, &file, workers);
        for number in 0..9 {
            server.publish("kept", &number.to_string());
        }
        server.publish("news", "x");
        let mut poll = server.client();
        poll.send_request("GET", "/topics/news?wait=60", &[], b"");
        server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        let (mut events, _) = server.open_event_stream("/topics/news");
        let (mut lines, _) = server.open_ndjson("/topics/news");
        let mut raw = server.raw_websocket("/topics/news");
        let (mut json, _) = server.json_websocket("/topics/news");
        let mut idle = server.client();
        idle.request("GET", "/healthz", &[], b"");
        let mut upload = server.client();
        upload.send("POST /topics/news HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nh");

        home.write(
            "t.toml",
            "log-messages = 3\nbody-bytes-max = 10\nallow-origin = ['https://a.example']\n\
             no-page = true\nworkers = 9\n[[topic]]\nprefix = 'quiet/'\npublish = 'nobody'\n",
        );
        server.signal("-HUP");
        let path = file.display();
        server.await_log(&format!(
            "reload: allow-origin: not set (default) -> https://a.example ({path}:3)"
        ));
        server.await_log("reload: body-bytes-max: 1M (default) -> 10 (");
        server.await_log("reload: log-messages: 100 (");
        server.await_log("reload: [[topic]] prefix = \"quiet/\": no rule -> publish = \"nobody\"");
        server.await_log(&format!("reload: 5 changed, 0 need a restart; settings from {path}"));
        await_status(&server, 11, 413);

        upload.send("i!");
        assert_eq!(upload.answer().status, 201, "it was under way");
        assert_eq!(data(&poll.answer().json()), ["hi!"]);
        assert_eq!(events.dispatched().data.as_deref(), Some("hi!"));
        assert_eq!(lines.json_line()["data"], "hi!");
        assert_eq!(raw.text(), "hi!");
        assert_eq!(json.json()["data"], "hi!");
        assert_eq!(idle.request("GET", "/healthz", &[], b"").status, 200);

        server.ask_until("the log is as short as it is now", || {
            data(&server.poll("/topics/kept?after=earliest")) == ["6", "7", "8"]
        });
        assert_eq!(server.get("/").status, 404);
        assert_eq!(publish(&server, "quiet%2Fx", 1), 403);
        let fields = [("Origin", "https://a.example")];
        let answer = server.request("GET", "/topics/news", &fields, b"");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://a.example"));
    }
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_the_log_says_where() {
    let home = Home::new();
    let file = home.write("t.toml", "body-bytes-max = 10\n");
    let server = start(&home, &file, 2);
    await_status(&server, 11, 413);
    home.write("t.toml", "body-bytes-max = 100\nlog-ages = 5\nlog-bytes = '2G'\n");
    server.signal("-HUP");
    let path = file.display();
    server.await_log(&format!(
        "reload: {path}:2: log-ages: there is no such setting, did you mean log-age?"
    ));
    server.await_log("reload: nothing is changed");
    home.write("t.toml", "body-bytes-max = 100\nlog-bytes = '2G'\n");
    server.signal("-HUP");
    server.await_log("--log-bytes is larger than --memory");
    server.await_log("reload: nothing is changed");
    std::fs::remove_file(&file).unwrap();
    server.signal("-HUP");
    server.await_log("there is no such file");
    await_status(&server, 11, 413);
    home.write("t.toml", "body-bytes-max = 100\n");
    server.signal("-HUP");
    server.await_log("reload: 1 changed");
    await_status(&server, 11, 201);
}

#[test]
fn what_needs_a_restart_is_said_each_time_and_flags_stay_in_force() {
    let home = Home::new();
    let file = home.write("t.toml", "user-timeout = 30\n");
    let server = start(&home, &file, 1);
    home.write("t.toml", "user-timeout = 20\nworkers = 5\nlisten = ['127.0.0.1:1']\nadmin-listen = ['127.0.0.1:0']\n");
    for _ in 0..2 {
        server.signal("-HUP");
        server.await_log("reload: user-timeout: 30 (");
        // Workers and listen are flags of this server: what the file says of them is not asked.
        server.await_log("reload: 0 changed, 2 need a restart");
    }
    assert_eq!(publish(&server, "news", 1), 201);
    // There is no address of the operator's own yet, so its resources are where they were.
    assert_eq!(server.get("/metrics").status, 200);
}

#[test]
fn a_reload_in_a_drain_reads_nothing() {
    let home = Home::new();
    let file = home.write("t.toml", "drain-spread = 0.01\n");
    let mut server = start(&home, &file, 1);
    // It is waited for until --drain-max, or until it closes.
    let mut upload = server.client();
    upload.send("POST /topics/news HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nh");
    server.await_metric("tidings_body_bytes", 1);
    server.terminate();
    server.await_log("draining");
    server.signal("-HUP");
    server.await_log("nothing is read again");
    drop(upload);
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
}
