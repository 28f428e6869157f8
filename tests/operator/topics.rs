//! Clause 19.4: topics, listed.

use serde_json::Value;

use crate::support::*;

fn list(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/topics{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    answer.json()
}

fn names(listing: &Value) -> Vec<String> {
    listing["topics"].as_array().unwrap().iter().map(|topic| string(&topic["topic"])).collect()
}

fn topic<'a>(listing: &'a Value, name: &str) -> &'a Value {
    let topics = listing["topics"].as_array().unwrap();
    topics
        .iter()
        .find(|topic| topic["topic"] == name)
        .unwrap_or_else(|| panic!("no {name}: {listing}"))
}

#[test]
fn clause_19_4_topics_of_all_workers_are_listed_in_the_order_of_their_names_page_by_page() {
    for_workers(&[], |server| {
        let mut all: Vec<String> = (0..25).map(|number| format!("t{number}")).collect();
        all.iter().for_each(|name| drop(server.publish(name, "x")));
        all.sort();
        let (mut seen, mut query, mut pages) = (Vec::new(), "?limit=10".to_owned(), 0);
        loop {
            let page = list(server, &query);
            seen.extend(names(&page));
            pages += 1;
            match page.get("next") {
                Some(next) => query = format!("?limit=10&after={}", string(next)),
                None => break,
            }
        }
        assert_eq!((seen, pages), (all, 3));
        assert_eq!(names(&list(server, "?prefix=t2")), ["t2", "t20", "t21", "t22", "t23", "t24"]);
        assert_eq!(names(&list(server, "?prefix=t2&after=t22")), ["t23", "t24"]);
        assert_eq!(names(&list(server, "?prefix=nowhere")), [""; 0]);
        assert_eq!(
            list(server, "?limit=25").get("next"),
            None,
            "a page that holds all is the last"
        );
    });
}

#[test]
fn clause_19_4_a_topic_shows_its_log_and_who_is_subscribed_on_which_worker_whatever() {
    for_workers(&["--log-messages", "3"], |server| {
        let ids: Vec<String> = (0..5).map(|_| server.publish("news", "hello")).collect();
        let streams: Vec<_> = (0..4).map(|_| server.open_event_stream("/topics/news")).collect();
        let _lines = server.open_ndjson("/topics/news,other");
        let _sockets = [server.raw_websocket("/topics/news"), server.raw_websocket("/topics/news")];
        let mut poll = server.client();
        poll.send("GET /topics/news?wait=20 HTTP/1.1\r\nHost: h\r\n\r\n");
        server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
        let listing = list(server, "");
        let news = topic(&listing, "news");
        assert_eq!(news["epoch"], ids[0].split('-').next().unwrap());
        assert_eq!((&news["first"], &news["next"]), (&Value::from(3), &Value::from(6)), "{news}");
        assert_eq!((&news["messages"], &news["recent"]), (&Value::from(3), &Value::from(3)));
        assert!(news["bytes"].as_u64().unwrap() >= 15, "{news}");
        let subscribers: Value =
            serde_json::from_str(r#"{"poll":1,"sse":4,"ndjson":1,"websocket":2}"#).unwrap();
        assert_eq!(news["subscribers"], subscribers);
        assert_eq!(news["lag"], 0);
        assert!(news["idle"].as_f64().unwrap() < 10.0 && news["age"].as_u64().unwrap() < 10);
        let other = topic(&listing, "other");
        assert_eq!((&other["first"], &other["next"]), (&Value::from(1), &Value::from(1)));
        assert_eq!(other["idle"], Value::Null, "nothing was published");
        assert_eq!(other["subscribers"]["ndjson"], 1);
        drop(streams);
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 0);
        assert_eq!(topic(&list(server, ""), "news")["subscribers"]["sse"], 0);
    });
}

#[test]
fn clause_19_4_sorted_listings_have_the_most_first_and_nothing_that_has_none() {
    for_workers(&[], |server| {
        for (name, messages, subscribers) in [("a", 1, 3), ("b", 5, 0), ("c", 3, 1), ("d", 0, 2)] {
            (0..messages).for_each(|_| drop(server.publish(name, "hello")));
            for _ in 0..subscribers {
                std::mem::forget(server.open_ndjson(&format!("/topics/{name}")));
            }
        }
        assert_eq!(names(&list(server, "?sort=recent")), ["b", "c", "a"]);
        assert_eq!(names(&list(server, "?sort=recent&limit=1")), ["b"]);
        assert_eq!(names(&list(server, "?sort=bytes&limit=2")), ["b", "c"]);
        assert_eq!(names(&list(server, "?sort=subscribers")), ["a", "d", "c"]);
        assert_eq!(names(&list(server, "?sort=subscribers&prefix=c")), ["c"]);
        assert_eq!(names(&list(server, "?sort=lag")), [""; 0]);
        assert_eq!(list(server, "?sort=recent&limit=1").get("next"), None, "it is not paged");
    });
}

#[test]
fn clause_19_4_the_topic_of_a_subscriber_that_does_not_read_lags_and_is_found() {
    for_workers(&["--outbox-bytes-max", "1K"], |server| {
        let mut slow = Client::connect_narrow(2_048, server.address());
        slow.send("GET /topics/slow HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
        let _quick = server.open_ndjson("/topics/quick");
        server.publish("quick", "x");
        let large = "x".repeat(100_000);
        (0..40).for_each(|_| drop(server.publish("slow", &large)));
        let listing = list(server, "?sort=lag");
        assert_eq!(names(&listing), ["slow"]);
        let lag = listing["topics"][0]["lag"].as_u64().unwrap();
        assert!((10..=40).contains(&lag), "{listing}");
    });
}

#[test]
fn clause_19_4_what_is_asked_wrongly_is_refused() {
    let server = Server::start(&[]);
    for (query, word) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=99999999999999999999", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=", "limit"),
        ("?prefix=%zz", "percent"),
        ("?prefix=%ff", "UTF-8"),
        ("?prefix=a&prefix=b", "once"),
        ("?after=", "name"),
        ("?after=a%00b", "control"),
        ("?sort=", "sort"),
        ("?sort=size", "sort"),
        ("?sort=lag&after=a", "one page"),
    ] {
        let detail = server.get(&format!("/topics{query}")).problem(400);
        assert!(detail.contains(word), "{query}: {detail}");
    }
    assert_eq!(server.get("/topics?limit=1000&prefix=%C3%A9&after=%C3%A9&other=1").status, 200);
    let allow = server.request("DELETE", "/topics", &[], b"");
    assert_eq!(allow.field("Allow"), Some("GET, HEAD, POST, OPTIONS"));
}

#[test]
fn clause_19_4_too_many_listings_at_once_are_refused_for_now() {
    let server = Server::start(&["--topics-max", "200000"]);
    // Enough topics that a listing takes many turns.
    let mut body = Vec::new();
    for number in 0..60_000 {
        body.extend(format!("{{\"topic\":\"t{number}\",\"data\":1}}\n").into_bytes());
    }
    let fields = [("Content-Type", "application/x-ndjson")];
    assert_eq!(server.request("POST", "/topics", &fields, &body).status, 200);
    let mut clients: Vec<Client> = (0..40).map(|_| server.client()).collect();
    // Written before any of them is read.
    clients.iter_mut().for_each(|client| {
        client.send("GET /topics?prefix=t5&limit=3 HTTP/1.1\r\nHost: h\r\n\r\n");
    });
    let health = server.get("/healthz").status;
    let answers: Vec<Answer> = clients.iter_mut().map(Client::answer).collect();
    let refused = answers.iter().filter(|answer| answer.status != 200);
    refused.for_each(|answer| assert_eq!(answer.json()["type"], "/errors#too-many-listings"));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(health, 200, "others are served meanwhile");
    let served = statuses.iter().filter(|&&status| status == 200).count();
    assert!(served >= 8, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    let listing = list(&server, "?prefix=t5&limit=3");
    assert_eq!(names(&listing), ["t5", "t50", "t500"]);
}
