//! Clauses 19.5 and 19.6: connections, listed and ended.

use serde_json::Value;

use crate::support::*;

fn list(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/connections{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()["connections"].as_array().unwrap().clone()
}

/// The id of the one connection that is subscribed to a topic, once it is.
fn id_of(server: &Server, topic: &str) -> String {
    let mut found = None;
    server.ask_until(&format!("somebody is subscribed to {topic}"), || {
        let listed = list(server, &format!("?topic={topic}"));
        found = listed.first().map(|one| string(&one["id"]));
        listed.len() == 1
    });
    found.unwrap()
}

fn end(server: &Server, id: &str) -> u16 {
    server.request("DELETE", &format!("/connections/{id}"), &[], b"").status
}

/// What the kill of one connection does to the numbers.
fn assert_killed(server: &Server, killed: u64) {
    server.await_metric("tidings_connections_closed_total{reason=\"killed\"}", killed);
}

#[test]
fn clause_19_5_connections_of_all_workers_are_listed_page_by_page_with_what_they_do() {
    for_workers(&[], |server| {
        let _streams: Vec<_> = (0..7).map(|_| server.open_event_stream("/topics/a,b")).collect();
        let _socket = server.raw_websocket("/topics/only");
        let idle = server.client();
        server.await_metric("tidings_connections", 10);
        let (mut seen, mut query) = (Vec::new(), "?limit=4".to_owned());
        loop {
            let page = server.get(&format!("/connections{query}")).json();
            let ids = page["connections"].as_array().unwrap();
            assert!(ids.len() <= 4);
            seen.extend(ids.iter().map(|one| string(&one["id"])));
            match page.get("next") {
                Some(next) => query = format!("?limit=4&after={}", string(next)),
                None => break,
            }
        }
        let count = seen.len();
        // Each page was asked for on a connection of its own, which is on it or not.
        assert!((9..=13).contains(&count), "{seen:?}");
        seen.dedup();
        assert_eq!(seen.len(), count, "each once");
        let both = list(server, "?topic=b");
        assert_eq!(both.len(), 7);
        assert_eq!((&both[0]["wire"], &both[0]["topics_total"]), (&"sse".into(), &2.into()));
        assert_eq!(both[0]["topics"], serde_json::json!(["a", "b"]));
        assert_eq!((&both[0]["lag"], &both[0]["requests"]), (&0.into(), &1.into()));
        assert_eq!(list(server, "?topic=only")[0]["wire"], "websocket");
        let peer = idle.another_handle().local_addr().unwrap().to_string();
        let all = list(server, "");
        let idle = all.iter().find(|one| one["peer"] == *peer).unwrap();
        assert_eq!((&idle["wire"], &idle["requests"]), (&"idle".into(), &0.into()));
    });
}

#[test]
fn clause_19_5_those_that_are_furthest_behind_come_first_and_the_others_not() {
    for_workers(&["--outbox-bytes-max", "1K"], |server| {
        let mut slow = Client::connect_narrow(2_048, server.address());
        slow.send("GET /topics/a,z HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
        let id = id_of(server, "z");
        let _quick = server.open_ndjson("/topics/quick");
        let large = "x".repeat(100_000);
        (0..40).for_each(|_| drop(server.publish("a", &large)));
        server.ask_until("it lags", || {
            let slowest = list(server, "?sort=lag");
            slowest.len() == 1 && slowest[0]["id"] == *id && slowest[0]["lag"].as_u64() > Some(5)
        });
        assert!(list(server, "?sort=lag&topic=quick").is_empty());
    });
}

#[test]
fn clause_19_6_each_wire_is_ended_in_its_own_way() {
    for_workers(&[], |server| {
        let (mut events, _) = server.open_event_stream("/topics/a");
        assert_eq!(end(server, &id_of(server, "a")), 204);
        // What was said at its opening; then the last chunk, without which this is an error.
        while events.line().is_some() {}
        assert_killed(server, 1);
        let (mut lines, _) = server.open_ndjson("/topics/b");
        assert_eq!(end(server, &id_of(server, "b")), 204);
        while lines.line().is_some() {}
        let mut socket = server.raw_websocket("/topics/c");
        assert_eq!(end(server, &id_of(server, "c")), 204);
        assert_eq!(socket.close().0, 1008);
        let mut poll = server.client();
        poll.send("GET /topics/d?wait=30 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(end(server, &id_of(server, "d")), 204);
        let answer = poll.answer();
        assert!(answer.problem(503).contains("operator"), "{answer:?}");
        assert_eq!(answer.field("Connection"), Some("close"));
        let mut idle = server.client();
        let peer = idle.another_handle().local_addr().unwrap().to_string();
        let mut id = None;
        server.ask_until("it is listed", || {
            let all = list(server, "?limit=1000");
            id = all.iter().find(|one| one["peer"] == *peer).map(|one| string(&one["id"]));
            id.is_some()
        });
        assert_eq!(end(server, &id.unwrap()), 204);
        idle.assert_closed();
        drop((events, lines, socket, poll));
        assert_killed(server, 5);
        server.await_metric("tidings_connections", 1);
    });
}

#[test]
fn clause_19_6_one_that_takes_nothing_is_cut_off_at_once() {
    for_workers(&["--write-progress", "300"], |server| {
        let mut slow = Client::connect_narrow(2_048, server.address());
        slow.send("GET /topics/a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
        let id = id_of(server, "a");
        let large = "x".repeat(100_000);
        (0..60).for_each(|_| drop(server.publish("a", &large)));
        server.ask_until("it lags", || server.metric("tidings_lag_messages") > 5);
        assert_eq!(end(server, &id), 204);
        assert_killed(server, 1);
        server.await_metric("tidings_connections", 1);
        server.await_metric("tidings_outbox_bytes", 0);
    });
}

#[test]
fn clause_19_6_an_id_never_hits_another_connection() {
    for_workers(&[], |server| {
        let (stream, _) = server.open_ndjson("/topics/a");
        let id = id_of(server, "a");
        drop(stream);
        server.await_metric("tidings_subscriptions{wire=\"ndjson\"}", 0);
        // Others take its slot, on whichever worker.
        let mut others: Vec<_> = (0..12).map(|_| server.open_ndjson("/topics/b")).collect();
        assert_eq!(end(server, &id), 404);
        server.publish("b", "still there");
        for (other, _) in &mut others {
            assert_eq!(other.json_line()["data"], "still there");
        }
        for bad in [
            "",
            "0",
            "0-0",
            "0-0-0-0",
            "a-b-c",
            "999-0-0",
            "0-4294967295-0",
            "0-0-4294967296",
            "%30-0-0",
        ] {
            assert_eq!(end(server, bad), 404, "{bad}");
        }
    });
}

#[test]
fn clause_19_6_who_ends_itself_is_answered_first() {
    for_workers(&[], |server| {
        let mut client = server.client();
        let peer = client.another_handle().local_addr().unwrap().to_string();
        let listing = client.request("GET", "/connections?limit=1000", &[], b"").json();
        let all = listing["connections"].as_array().unwrap();
        let own = all.iter().find(|one| one["peer"] == *peer).unwrap();
        let target = format!("/connections/{}", string(&own["id"]));
        let answer = client.request("DELETE", &target, &[], b"");
        assert_eq!((answer.status, answer.field("Connection")), (204, Some("close")));
        client.assert_closed();
    });
}

#[test]
fn clause_19_5_what_is_asked_wrongly_is_refused() {
    let server = Server::start(&[]);
    for (query, word) in [
        ("?limit=0", "limit"),
        ("?after=a", "id"),
        ("?after=", "id"),
        ("?topic=", "name"),
        ("?sort=age", "sort"),
        ("?sort=lag&after=0-0-0", "one page"),
    ] {
        let detail = server.get(&format!("/connections{query}")).problem(400);
        assert!(detail.contains(word), "{query}: {detail}");
    }
    assert!(list(&server, "?after=99-0-0").is_empty());
}

#[test]
fn a_listing_that_is_not_read_holds_up_nobody_and_its_client_is_given_up() {
    let server = Server::start(&["--write-progress", "1", "--outboxes-bytes-max", "4M"]);
    let mut body = Vec::new();
    for number in 0..2_000 {
        body.extend(
            format!("{{\"topic\":\"{}{number}\",\"data\":1}}\n", "n".repeat(190)).into_bytes(),
        );
    }
    let fields = [("Content-Type", "application/x-ndjson")];
    assert_eq!(server.request("POST", "/topics", &fields, &body).status, 200);
    let mut stuck = Client::connect_narrow(2_048, server.address());
    for _ in 0..20 {
        stuck.send("GET /topics?limit=1000 HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    server.ask_until("it is given up", || {
        server.metric("tidings_connections_closed_total{reason=\"write_timeout\"}") == 1
    });
    server.await_metric("tidings_outbox_bytes", 0);
    assert_eq!(server.get("/topics?limit=1000").status, 200);
}
