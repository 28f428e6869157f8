//! Clause 13: what is served beside topics.

use crate::support::*;

const PAGES: [(&str, &str); 21] = [
    ("/errors", "text/markdown"),
    ("/healthz", "text/plain"),
    ("/readyz", "text/plain"),
    ("/metrics", "text/plain; version=0.0.4"),
    ("/", "text/html"),
    ("/page.js", "text/javascript"),
    ("/page.css", "text/css"),
    ("/page/lane.js", "text/javascript"),
    ("/page/ledger.js", "text/javascript"),
    ("/page/seat.js", "text/javascript"),
    ("/page/timeline.js", "text/javascript"),
    ("/page/slow.js", "text/javascript"),
    ("/page/feed.js", "text/javascript"),
    ("/page/chat.js", "text/javascript"),
    ("/page/log.js", "text/javascript"),
    ("/page/progress.js", "text/javascript"),
    ("/page/job.js", "text/javascript"),
    ("/tidings.js", "text/javascript"),
    ("/tidings.classic.js", "text/javascript"),
    ("/tidings-share.js", "text/javascript"),
    ("/tidings.d.ts", "application/typescript"),
];

#[test]
fn clause_13_1_health_and_readiness_are_said() {
    for_workers(&[], |server| {
        assert_eq!(
            (server.get("/healthz").status, server.get("/healthz").text().trim()),
            (200, "ok")
        );
        assert_eq!(
            (server.get("/readyz").status, server.get("/readyz").text().trim()),
            (200, "ready")
        );
    });
}

#[test]
fn clause_13_1_every_page_has_its_type_and_answers_head_without_a_body() {
    for_workers(&[], |server| {
        for (path, content_type) in PAGES {
            let mut client = server.client();
            let answer = client.request("GET", path, &[], b"");
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.field("Content-Type").unwrap().starts_with(content_type), "{path}");
            assert!(!answer.body.is_empty());
            let head = client.request("HEAD", path, &[], b"");
            assert_eq!(head.status, 200, "{path}");
            if path != "/metrics" {
                assert_eq!(head.field("Content-Length"), answer.field("Content-Length"), "{path}");
            }
            assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n", "behind {path}");
        }
    });
}

#[test]
fn clause_13_1_a_query_does_not_hide_a_page() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/healthz?probe=1").status, 200);
    assert_eq!(server.get("/?topic=news").status, 200);
}

#[test]
fn clause_13_1_the_page_names_its_script_and_style_and_the_client_is_a_script() {
    let server = Server::start(&[]);
    let page = server.get("/").text();
    assert!(page.contains("page.js") && page.contains("page.css"), "{page}");
    assert!(server.get("/tidings.js").text().contains("export"));
}

#[test]
fn clause_13_1_metrics_are_prometheus_text_of_all_workers() {
    for_workers(&[], |server| {
        for topic in TOPICS {
            server.publish(topic, "x");
        }
        let text = server.get("/metrics").text();
        for line in text.lines() {
            let is_ours = |name: &str| name.starts_with("tidings_") || name.starts_with("process_");
            let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            let is_comment = comment.is_some_and(is_ours);
            let sample = line
                .rsplit_once(' ')
                .is_some_and(|(name, value)| is_ours(name) && value.parse::<f64>().is_ok());
            assert!(is_comment || sample, "{line:?}");
        }
        assert_eq!(server.metric("tidings_messages_published_total"), 6, "of every worker");
        assert_eq!(server.metric("tidings_topics"), 6);
    });
}

#[test]
fn clause_13_1_readyz_is_503_from_the_beginning_of_a_drain() {
    let server = Server::start(&["--drain-spread", "5"]);
    // In the middle of a head, so that the drain does not close it as idle.
    let mut ready = server.client();
    ready.send("GET /readyz HTTP/1.1\r\n");
    let mut health = server.client();
    health.send("GET /healthz HTTP/1.1\r\n");
    server.await_metric("tidings_connections", 3);
    server.terminate();
    server.await_log("draining");
    // The listener is closed in the same tick in which the drain begins.
    server.ask_until("no connection is accepted", || {
        std::net::TcpStream::connect(server.address()).is_err()
    });
    let refused = ready.exchange("Host: h\r\n\r\n");
    let detail = refused.problem(503);
    assert!(detail.starts_with("draining"), "{detail}");
    assert_eq!(refused.field("Connection"), Some("close"));
    assert_eq!(health.exchange("Host: h\r\n\r\n").status, 200, "it is alive all the same");
}

#[test]
fn clause_13_2_another_path_is_404() {
    let server = Server::start(&[]);
    for target in ["/nowhere", "/topics/a/b", "/topic", "/topicsx", "/healthz/", "//", "/Healthz"] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let answer = server.request(method, target, &[], b"");
            assert_eq!(answer.status, 404, "{method} {target}");
        }
    }
}

#[test]
fn clause_13_2_a_known_path_with_another_method_is_405_with_allow() {
    let server = Server::start(&[]);
    for (method, target) in [
        ("POST", "/healthz"),
        ("DELETE", "/"),
        ("PUT", "/metrics"),
        ("TRACE", "/topics/a"),
        ("PATCH", "/topics/a"),
        ("DELETE", "/topics"),
        ("PUT", "/topics"),
    ] {
        let answer = server.request(method, target, &[], b"");
        assert_eq!(answer.status, 405, "{method} {target}: {answer:?}");
        assert!(answer.field("Allow").unwrap().contains("OPTIONS"), "{answer:?}");
    }
}

#[test]
fn clause_13_2_an_unknown_method_is_501() {
    let server = Server::start(&[]);
    for method in ["BREW", "get", "PROPFIND", "X"] {
        server.request(method, "/topics/a", &[], b"").problem(501);
    }
}
