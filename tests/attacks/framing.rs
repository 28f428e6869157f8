//! 51 to 80: where a request ends, and who disagrees (RFC 9112 §6, §7 and §11.2).

use crate::refusal::*;
use crate::support::*;

/// A publish with these fields and this body, which stands for whatever one of its readers takes it for.
fn publish(fields: &str, body: &str) -> Vec<u8> {
    [request("POST", "/topics/smuggled", fields), body.into()].concat()
}

/// A chunked publish.
fn chunked(body: &str) -> Vec<u8> {
    publish("Transfer-Encoding: chunked\r\n", body)
}

#[test]
fn attack_051_length_and_coding_together() {
    attack(&[], |server| {
        replay_heads(server, 51);
        let (length, coding) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
        for fields in [
            format!("{length}{coding}"),
            format!("{coding}{length}"),
            format!("{coding}A: b\r\nCONTENT-LENGTH: 0\r\n"),
            format!("Content-Length: \r\n{coding}"),
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n".to_owned(),
            "Content-Length: 5\r\nTransfer-Encoding: \r\n".to_owned(),
            "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n".to_owned(),
        ] {
            for method in ["POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE", "FROB"] {
                let head = request(method, "/topics/smuggled", &fields);
                refused(server, [&head, &b"0\r\n\r\n"[..]].concat(), 400);
            }
        }
    });
}

#[test]
fn attack_052_053_lengths_that_are_not_one_number() {
    attack(&[], |server| {
        replay_heads(server, 52);
        replay_heads(server, 53);
        for (first, second) in
            [("5", "6"), ("6", "5"), ("5", "5"), ("", "5"), ("5", ""), ("0", "34")]
        {
            let fields = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
            refused(server, publish(&fields, "hello"), 400);
        }
        for value in [
            "+5",
            "-5",
            "-0",
            "0x5",
            "0X5",
            "5.0",
            "5,",
            ",5",
            "5, 5",
            "5,6",
            "5 5",
            "5\t5",
            "1_0",
            "5e0",
            "5;",
            "5 ;a",
            "\"5\"",
            "'5'",
            "5h",
            "05x",
            "abc",
            "",
            " ",
            "\t",
            "５",
            "٥",
            "5\u{a0}",
            "\u{a0}5",
            "5\u{85}",
            "null",
            "NaN",
            "Infinity",
            "0b101",
            "0o5",
            "5%",
            "(5)",
            "5\u{200b}",
        ] {
            refused(server, publish(&format!("Content-Length: {value}\r\n"), "hello"), 400);
        }
        // Digits are decimal, however many zeros lead (010 is ten).
        let mut client = server.client();
        for (value, body) in [
            ("5", "hello"),
            (" \t5\t ", "hello"),
            ("0005", "hello"),
            ("010", "0123456789"),
            ("0", ""),
        ] {
            let head = request("POST", "/topics/a", &format!("Content-Length:{value}\r\n"));
            client.send([&head, body.as_bytes()].concat());
            assert_eq!(client.answer().status, 201, "{value:?}");
        }
        let expected = ["hello", "hello", "hello", "0123456789", ""];
        assert_eq!(data(&server.poll("/topics/a")), expected);
    });
}

#[test]
fn attack_054_055_lengths_too_large() {
    attack(&[], |server| {
        replay_heads(server, 54);
        replay_bodies(server, 55);
    });
    attack(&["--body-bytes-max", "1K", "--drop-bytes-max", "1K"], |server| {
        for length in [
            "1025",
            "4294967296",
            "4294967301",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551621",
            "999999999999999999999999999999",
            &"9".repeat(5_000),
        ] {
            for expect in ["", "Expect: 100-continue\r\n"] {
                let fields = format!("Content-Length: {length}\r\n{expect}");
                // The first answer is the last: no 100 before it.
                refused(server, publish(&fields, "hello"), 413);
                refused(server, request("GET", "/topics/smuggled", &fields), 413);
            }
        }
        let long = "x".repeat(1_025);
        let chunk = format!("401\r\n{long}\r\n0\r\n\r\n");
        refused(server, chunked(&chunk), 413);
        // And what arrives although nobody wants it is dropped, up to a bound.
        refused(server, publish("Content-Length: 1000000\r\n", &"x".repeat(1_000_000)), 413);
    });
}

#[test]
fn attack_056_057_058_059_060_codings() {
    attack(&[], |server| {
        for row in 56..=60 {
            replay_heads(server, row);
        }
        for (value, status) in [
            ("chunked, gzip", 400),
            ("chunked, identity", 400),
            ("chunked,", 400),
            ("chunked, chunked", 400),
            ("chunked,chunked", 400),
            ("gzip, chunked, chunked", 400),
            (",chunked", 400),
            (", chunked", 400),
            ("", 400),
            (",", 400),
            ("chunked;a=b", 400),
            ("chunked;", 400),
            ("chunked a", 400),
            ("chu nked", 400),
            ("\"chunked\"", 400),
            ("'chunked'", 501),
            ("[chunked]", 400),
            ("chunked\u{b}", 400),
            ("\u{b}chunked", 400),
            ("\u{c}chunked", 400),
            ("chunked\u{a0}", 400),
            ("\u{a0}chunked", 400),
            ("chunked\u{85}", 400),
            ("\u{2003}chunked", 400),
            ("\u{feff}chunked", 400),
            ("ｃhunked", 400),
            ("chun\u{212a}ed", 400),
            ("chunked\0", 400),
            ("identity", 501),
            ("gzip", 501),
            ("gzip, chunked", 501),
            ("identity, chunked", 501),
            ("deflate", 501),
            ("trailers", 501),
            ("xchunked", 501),
            ("chunkedx", 501),
            ("chunke", 501),
            ("chunked2", 501),
            ("x-chunked", 501),
            ("*", 501),
        ] {
            let fields = format!("Transfer-Encoding: {value}\r\n");
            refused(server, publish(&fields, "5\r\nhello\r\n0\r\n\r\n"), status);
        }
        for (first, second) in [
            ("chunked", "chunked"),
            ("chunked", ""),
            ("", "chunked"),
            ("chunked", "identity"),
            ("chunked", "cow"),
        ] {
            let fields = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
            refused(server, publish(&fields, "0\r\n\r\n"), 400);
        }
        let twice = "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n";
        refused(server, publish(twice, "0\r\n\r\n"), 501);
        for connection in ["", "Connection: keep-alive\r\n"] {
            let head = format!(
                "POST /topics/smuggled HTTP/1.0\r\nHost: h\r\n{connection}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            );
            refused(server, head, 400);
        }
    });
}

#[test]
fn attack_061_chunked_in_capitals() {
    attack(&[], |server| {
        let mut client = server.client();
        for value in ["chunked", "CHUNKED", "cHuNkEd", " \tchunked\t "] {
            let fields = format!("Transfer-Encoding:{value}\r\n");
            client.send(
                [&request("POST", "/topics/a", &fields), &b"2\r\nhi\r\n0\r\n\r\n"[..]].concat(),
            );
            assert_eq!(client.answer().status, 201, "{value:?}");
        }
        assert_eq!(data(&server.poll("/topics/a")), ["hi"; 4]);
    });
}

#[test]
fn attack_062_063_064_065_chunk_sizes() {
    attack(&[], |server| {
        for row in 62..=65 {
            replay_bodies(server, row);
        }
        for size in [
            "",
            " ",
            "\t",
            ";",
            ";a=b",
            " ;a=b",
            "0x5",
            "0X5",
            "x5",
            "+5",
            "-5",
            "-0",
            "0_5",
            "5_",
            "5x",
            "5 ",
            " 5",
            "5\t",
            "\t5",
            "5 5",
            "5,5",
            "5.",
            "5\u{b}",
            "5\u{a0}",
            "\u{a0}5",
            "５",
            "g",
            "G",
            "5h",
            "\"5\"",
            "(5)",
            "5 ;a",
            "00000000000000005",
            "00000000000000000",
        ] {
            refused(server, chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), 400);
        }
        for size in [
            "ffffffffffffffff",
            "fffffffffffffffff",
            "10000000000000005",
            "0123456789abcdef01",
            "7fffffffffffffff",
            "8000000000000000",
            "100000000",
            "ffffffff",
            "80000000",
            "100001",
        ] {
            refused(server, chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), 413);
        }
        // A second size that would wrap around to what is missing.
        refused(server, chunked("5\r\nhello\r\nfffffffffffffffb\r\nhello"), 413);
        let mut client = server.client();
        for size in ["5", "05", "0000000000000005"] {
            let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
            let head = request("POST", "/topics/a", "Transfer-Encoding: chunked\r\n");
            client.send([&head, body.as_bytes()].concat());
            assert_eq!(client.answer().status, 201, "{size}");
        }
        assert_eq!(data(&server.poll("/topics/a")), ["hello"; 3]);
    });
}

#[test]
fn attack_066_067_068_lines_and_data_of_chunks() {
    attack(&[], |server| {
        for row in 66..=68 {
            replay_bodies(server, row);
        }
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\n\n",
            "5;a\nhello\r\n0\r\n\r\n",
            "5;\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;a\0\r\nhello\r\n0\r\n\r\n",
            "5;a=\u{1}\r\nhello\r\n0\r\n\r\n",
            "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
            "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
            "5;a=\"\u{7f}\"\r\nhello\r\n0\r\n\r\n",
            "5\r\r\nhello\r\n0\r\n\r\n",
            "5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n",
            "5\rX\r\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "5\r\nhello\rX0\r\n\r\n",
            "5\r\nhello \r\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n0\r\n\r\n",
            "5\r\nhell\r\n0\r\n\r\n",
            "0\r\n\rX",
            "0\r\nXX",
            "0\r\n\r\r\n",
        ] {
            refused(server, chunked(body), 400);
        }
    });
}

#[test]
fn attack_069_070_framing_that_costs_more_than_its_payload() {
    attack(&[], |server| {
        replay_bodies(server, 69);
        replay_bodies(server, 70);
        refused(
            server,
            chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(1_000_000))),
            400,
        );
        refused(server, chunked(&format!("5;a=\"{}", "b".repeat(1_000_000))), 400);
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(200));
        refused(server, chunked(&(chunk.repeat(5_000) + "0\r\n\r\n")), 400);
        // A million chunks of a byte are wasteful and legal: the payload's bound is theirs.
        let mut client = server.client();
        let most = 1 << 20;
        client.send(request("POST", "/topics/a", "Transfer-Encoding: chunked\r\n"));
        for _ in 0..16 {
            client.send("1\r\nx\r\n".repeat(most / 16));
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.answer().status, 201);
        assert_eq!(server.poll("/topics/a")["messages"][0]["data"].as_str().unwrap().len(), most);
        let mut client = server.client();
        client.send(request("POST", "/topics/b", "Transfer-Encoding: chunked\r\n"));
        for _ in 0..16 {
            client.send("1\r\nx\r\n".repeat(most / 16));
        }
        client.send("1\r\n");
        client.answer().problem(413);
        client.assert_closed();
    });
}

#[test]
fn attack_071_unknown_extensions_are_ignored() {
    attack(&[], |server| {
        replay_bodies(server, 71);
        let mut client = server.client();
        for extension in [
            ";a",
            ";a=b",
            ";a=\"b\"",
            ";a=\";\"",
            ";a=\"\\\"\"",
            ";a=\"\t\u{e9} \";b;c=d",
            ";a=\"\"",
        ] {
            let body = format!("2{extension}\r\nhi\r\n0{extension}\r\n\r\n");
            client.send(
                [&request("POST", "/topics/a", "Transfer-Encoding: chunked\r\n"), body.as_bytes()]
                    .concat(),
            );
            assert_eq!(client.answer().status, 201, "{extension}");
        }
        assert_eq!(data(&server.poll("/topics/a")), ["hi"; 7]);
        for extension in [
            ";",
            ";;a",
            ";=b",
            ";a=",
            ";a=b=c",
            ";a b",
            ";a=\"",
            ";a=\"b\"c",
            ";a=(",
            " ;a",
            ";\u{e9}",
        ] {
            refused(server, chunked(&format!("2{extension}\r\nhi\r\n0\r\n\r\n")), 400);
        }
    });
}

#[test]
fn attack_072_trailers() {
    attack(&[], |server| {
        replay_bodies(server, 72);
        let mut client = server.client();
        for trailers in [
            "A: b\r\n",
            "Content-Length: 50\r\nTransfer-Encoding: gzip\r\n",
            "Host: evil.example\r\nAuthorization: Bearer x\r\nOrigin: https://evil.example\r\n",
            "Content-Type: application/json\r\nEvent-Type: evil\r\nIdempotency-Key: k\r\n",
            "Connection: close\r\nExpect: 100-continue\r\nUpgrade: websocket\r\n",
            &"A: b\r\n".repeat(16),
        ] {
            let body = format!("2\r\nhi\r\n0\r\n{trailers}\r\n");
            client.send(
                [&request("POST", "/topics/a", "Transfer-Encoding: chunked\r\n"), body.as_bytes()]
                    .concat(),
            );
            let answer = client.answer();
            assert_eq!((answer.status, answer.field("Connection")), (201, None), "{trailers:?}");
        }
        for message in server.poll("/topics/a")["messages"].as_array().unwrap() {
            assert_eq!(
                (&message["data"], message["event"].as_str()),
                (&"hi".into(), None),
                "{message}"
            );
            assert_eq!(message["content_type"].as_str(), None, "{message}");
        }
        for trailers in [
            "A: b\r\n".repeat(17),
            "A: b\r\n".repeat(20_000),
            format!("A: {}\r\n", "b".repeat(1_000_000)),
        ] {
            refused(server, chunked(&format!("2\r\nhi\r\n0\r\n{trailers}\r\n")), 431);
        }
        for trailer in [
            "no colon",
            ": b",
            "A : b",
            " A: b",
            "A: b\r\n c",
            "A\u{e9}: b",
            "A: \0",
            "A: b\nB: c",
            "A: \u{1}",
        ] {
            refused(server, chunked(&format!("2\r\nhi\r\n0\r\n{trailer}\r\n\r\n")), 400);
        }
    });
}

#[test]
fn attack_073_a_body_that_is_not_whole_is_not_published() {
    attack(&[], |server| {
        replay_bodies(server, 73);
        let whole = chunked("5;a=b\r\nhello\r\n3\r\nxyz\r\n0\r\nA: b\r\n\r\n");
        let of_length = publish("Content-Length: 5\r\n", "hello");
        for bytes in [&whole, &of_length] {
            for end in 1..bytes.len() {
                let mut client = server.client();
                client.send(&bytes[..end]);
                client.half_close();
                client.assert_closed();
            }
        }
        // Neither does a batch publish a line that does not end, nor a WebSocket half a message.
        let lines =
            "{\"topic\":\"a\",\"data\":\"whole\"}\n{\"topic\":\"smuggled\",\"data\":\"half\"}";
        let fields = format!(
            "Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n",
            lines.len() + 1
        );
        let mut client = server.client();
        client.send([&request("POST", "/topics", &fields), lines.as_bytes()].concat());
        client.half_close();
        client.rest();
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.send_frame(TEXT, b"half");
        socket.client.half_close();
        socket.client.assert_closed();
        assert_eq!(data(&server.poll("/topics/a")), ["whole"]);
    });
}

#[test]
fn attack_074_a_body_where_none_is_needed_is_never_a_request() {
    attack(&[], |server| {
        server.publish("a", "x");
        for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("DELETE", 200)] {
            let length = SMUGGLED.len();
            let chunk = format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
            for (fields, body) in [
                (format!("Content-Length: {length}\r\n"), SMUGGLED),
                ("Transfer-Encoding: chunked\r\n".to_owned(), &chunk),
            ] {
                let mut client = server.client();
                client.send([&request(method, "/topics/a", &fields), body.as_bytes()].concat());
                assert_eq!(client.answer_to(method).status, status, "{method}");
                assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n", "{method}");
            }
        }
        // A method that is unknown, or has no place: what its body would be is not guessed.
        for (method, target, status) in [
            ("FROB", "/healthz", 501),
            ("PATCH", "/topics/a", 405),
            ("POST", "/metrics", 405),
            ("GET", "/nowhere", 404),
        ] {
            let fields = format!("Content-Length: {}\r\n", SMUGGLED.len());
            refused(
                server,
                [&request(method, target, &fields), SMUGGLED.as_bytes()].concat(),
                status,
            );
        }
    });
}

#[test]
fn attack_075_076_what_stands_behind_a_refusal_is_never_a_request() {
    attack(&["--body-bytes-max", "1K"], |server| {
        let behind = SMUGGLED.repeat(20);
        let length = behind.len();
        for (target, fields, status) in [
            ("/topics/a*", "", 400),
            ("/topics/smuggled", "Origin: https://evil.example\r\n", 403),
            ("/nowhere", "", 404),
            ("/healthz", "", 405),
            ("/topics/smuggled", "", 413),
            ("/topics/smuggled", "Content-Encoding: gzip\r\n", 415),
            ("/topics", "", 415),
            ("/topics/smuggled", "Expect: x\r\n", 417),
            ("/topics/smuggled?after=1&after=2", "", 400),
        ] {
            let fields = format!("{fields}Content-Length: {length}\r\n");
            refused(
                server,
                [&request("POST", target, &fields), behind.as_bytes()].concat(),
                status,
            );
        }
        // A payload that is read whole before it is refused leaves the connection in order.
        let mut client = server.client();
        let json = [("Content-Type", "application/json")];
        client.request("POST", "/topics/smuggled", &json, SMUGGLED.as_bytes()).problem(400);
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
        // One good request, one malformed, one that would be good: an answer, a refusal, nothing.
        let mut client = server.client();
        client.send(
            [request("GET", "/healthz", ""), b"GET /\n\n".to_vec(), SMUGGLED.into()].concat(),
        );
        assert_eq!(client.answer().status, 200);
        client.answer().problem(400);
        client.assert_closed();
    });
}

#[test]
fn attack_077_an_empty_line_behind_a_body() {
    attack(&[], |server| {
        let mut client = server.client();
        for lines in ["", "\r\n", "\r\n\r\n"] {
            client.send(
                [
                    request("POST", "/topics/a", "Content-Length: 2\r\n").as_slice(),
                    &b"hi"[..],
                    lines.as_bytes(),
                ]
                .concat(),
            );
            assert_eq!(client.answer().status, 201);
        }
        client.send(b"\r\n\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().problem(400);
        client.assert_closed();
    });
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn attack_078_an_upgrade_with_a_body_or_with_requests_behind_it() {
    attack(&[], |server| {
        let length = SMUGGLED.len();
        for (fields, body) in [
            (format!("{UPGRADE}Content-Length: {length}\r\n"), SMUGGLED.to_owned()),
            (
                format!("{UPGRADE}Transfer-Encoding: chunked\r\n"),
                format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
        ] {
            refused(
                server,
                [&request("GET", "/topics/smuggled", &fields), body.as_bytes()].concat(),
                400,
            );
            // Where there is no WebSocket the framing of HTTP holds.
            let mut client = server.client();
            client.send([&request("GET", "/healthz", &fields), body.as_bytes()].concat());
            assert_eq!(client.answer().text(), "ok\n");
            assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
        }
        // Behind a 101 everything is frames: a request is an unmasked one.
        let mut client = server.client();
        client.send([request("GET", "/topics/a", UPGRADE), SMUGGLED.into()].concat());
        let head = client.head();
        assert_eq!(head.status, 101);
        let mut socket = WebSocket { client, head };
        assert_eq!(socket.close().0, 1002);
        socket.client.assert_closed();
        // An upgrade that is refused switches nothing: what follows is a request, or is refused as one.
        let mut client = server.client();
        let refused = UPGRADE.replace("Version: 13", "Version: 12");
        client
            .send([request("GET", "/topics/a", &refused), request("GET", "/healthz", "")].concat());
        client.answer().problem(426);
        assert_eq!(client.answer().text(), "ok\n");
        client.send(WebSocket::encode(FIN | TEXT, b"x"));
        client.answer().problem(400);
        client.assert_closed();
    });
}

#[test]
fn attack_079_an_upgrade_to_http_2() {
    attack(&[], |server| {
        let mut client = server.client();
        for upgrade in ["h2c", "HTTP/2.0", "h2c, websocket2", "TLS/1.0"] {
            let fields = format!(
                "Upgrade: {upgrade}\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            );
            let answer = client.exchange(request("GET", "/healthz", &fields));
            assert_eq!((answer.status, answer.head.version.as_str()), (200, "HTTP/1.1"));
            assert_eq!(answer.field("Upgrade"), None);
        }
    });
}

#[test]
fn attack_080_more_disagreements() {
    attack(&[], |server| replay_heads(server, 80));
}

#[test]
fn attack_080_more_disagreements_about_bodies() {
    attack(&[], |server| replay_bodies(server, 80));
}
