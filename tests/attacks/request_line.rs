//! 1 to 30: what may be wrong with a request line and its target (RFC 9112 §2 and §3).

use fastrand::Rng;
use serde_json::json;

use crate::refusal::*;
use crate::support::*;

#[test]
fn attack_001_002_a_host_is_there_exactly_once() {
    attack(&[], |server| {
        replay_heads(server, 1);
        replay_heads(server, 2);
        refused(server, "GET /healthz HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400);
        refused(server, "GET /healthz HTTP/1.1\r\nHost: h\r\nHOST:\r\n\r\n", 400);
    });
}

#[test]
fn attack_003_a_host_that_is_none() {
    attack(&[], |server| {
        replay_heads(server, 3);
        let wrong = [
            "a:65536", "a:+1", "a:-1", "a: 1", "a:1:2", ":80", "u@a", "a#", "a?b", "a\\b", "a%4",
            "a%zz", "[::1", "::1", "[::1]x", "[::g]", "a\"b", "a<b", "a;b c", "http://a", "a, a",
        ];
        for host in wrong {
            refused(server, format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400);
        }
    });
}

#[test]
fn attack_004_005_an_empty_host_and_http_1_0_without_one_are_served() {
    attack(&[], |server| {
        for request in [
            "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: \t \r\n\r\n",
            "GET /healthz HTTP/1.0\r\n\r\n",
            "GET /healthz HTTP/1.0\r\nHost:\r\n\r\n",
        ] {
            assert_eq!(server.client().exchange(request).status, 200, "{request:?}");
        }
    });
}

#[test]
fn attack_006_an_absolute_target_must_agree_with_host() {
    attack(&[], |server| {
        for target in ["http://h/healthz", "HTTP://H:80/healthz", "https://h:443/healthz"] {
            let answer =
                server.client().exchange(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(answer.status, 200, "{target}");
        }
        replay_heads(server, 6);
        for (target, status) in [
            ("http://evil/topics/smuggled", 421),
            ("http://h:81/topics/smuggled", 421),
            ("http://h.evil/", 421),
            ("http://", 400),
            ("http:///topics/a", 400),
            ("http:/topics/a", 400),
            ("ftp://h/", 400),
            ("file:///etc/passwd", 400),
            ("//evil/topics/a", 404),
        ] {
            if status == 404 {
                // Origin-form: a path that begins with an empty segment.
                server.request("GET", target, &[], b"").problem(404);
            } else {
                refused(server, request("GET", target, ""), status);
            }
        }
    });
}

#[test]
fn attack_007_no_tunnel_is_opened() {
    attack(&[], |server| {
        replay_heads(server, 7);
        for target in ["h:443", "127.0.0.1:80", "[::1]:80"] {
            refused(server, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"), 501);
        }
    });
}

#[test]
fn attack_008_an_asterisk_is_for_options_alone() {
    attack(&[], |server| {
        replay_heads(server, 8);
        for method in ["HEAD", "POST", "DELETE", "FROB"] {
            refused(server, request(method, "*", ""), 400);
        }
        refused(server, request("OPTIONS", "*x", ""), 400);
        refused(server, request("OPTIONS", "*?a", ""), 400);
        let answer = server.request("OPTIONS", "*", &[], b"");
        assert_eq!(answer.status, 204);
        assert!(answer.field("Allow").is_some());
    });
}

#[test]
fn attack_009_010_a_target_is_a_path_without_a_fragment() {
    attack(&[], |server| {
        replay_heads(server, 9);
        replay_heads(server, 10);
        for target in ["topics/a", "a:80", "?a", "./a", "../a", "/topics/a#", "/#", "/?#x", "#"] {
            refused(server, request("GET", target, ""), 400);
        }
    });
}

#[test]
fn attack_011_012_white_space_and_line_ends_in_the_request_line() {
    attack(&[], |server| {
        replay_heads(server, 11);
        replay_heads(server, 12);
        for line in [
            "GET  /healthz HTTP/1.1\r\n",
            "GET /healthz  HTTP/1.1\r\n",
            "GET\t/healthz HTTP/1.1\r\n",
            "GET /healthz\tHTTP/1.1\r\n",
            "GET /healthz HTTP/1.1 \r\n",
            "GET /healthz HTTP/1.1\t\r\n",
            " GET /healthz HTTP/1.1\r\n",
            "GET /heal thz HTTP/1.1\r\n",
            "GET\x0b/healthz HTTP/1.1\r\n",
            "GET\x0c/healthz HTTP/1.1\r\n",
            "GET\u{a0}/healthz HTTP/1.1\r\n",
            "GET /healthz HTTP/1.1\r\r\n",
            "GET /healthz HTTP/1.1\r",
            "GET /healthz HTTP/1.1\n",
            "GET\r/healthz HTTP/1.1\r\n",
            "GET /heal\rthz HTTP/1.1\r\n",
            "GET /healthz\nHTTP/1.1\r\n",
            "\rGET /healthz HTTP/1.1\r\n",
        ] {
            refused(server, format!("{line}Host: h\r\n\r\n"), 400);
        }
    });
}

#[test]
fn attack_013_014_every_byte_that_has_no_place_in_a_target() {
    attack(&[], |server| {
        replay_heads(server, 13);
        replay_heads(server, 14);
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        // An escape needs its digits; a space ends the target, see 11.
        for byte in (0..=255u8).filter(|&byte| !allowed(byte) && byte != b' ') {
            let target = [b"GET /topics/a", &[byte][..], b"b HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            let mut client = server.client();
            client.try_send(&target);
            client.try_send(SMUGGLED.as_bytes());
            let answer = client.answer();
            answer.problem(400);
            assert_eq!(answer.field("Connection"), Some("close"), "{byte:#x}");
            client.assert_closed();
        }
        for text in ["/é", "/topics/日本", "/topics/\u{202e}", "/topics/\u{10ffff}"] {
            refused(server, request("GET", text, ""), 400);
        }
    });
}

#[test]
fn attack_015_016_017_versions() {
    attack(&[], |server| {
        for row in 15..=17 {
            replay_heads(server, row);
        }
        for (version, status) in [
            ("http/1.1", 400),
            ("Http/1.1", 400),
            ("HTTP/1.10", 400),
            ("HTTP/1.32", 400),
            ("HTTP/257.1", 400),
            ("HTTP/1.257", 400),
            ("HTTP/4294967297.1", 400),
            ("HTTP/01.1", 400),
            ("HTTP/1", 400),
            ("HTTP/1.", 400),
            ("HTTP/.1", 400),
            ("HTTP/11", 400),
            ("HTTP/1.1.1", 400),
            ("HTTP/1,1", 400),
            ("HTTP/+1.1", 400),
            ("HTTP1.1", 400),
            ("HTTPS/1.1", 400),
            ("ICE/1.0", 400),
            ("RTSP/1.0", 400),
            ("HTTP/0.9", 505),
            ("HTTP/1.2", 505),
            ("HTTP/2.0", 505),
            ("HTTP/3.0", 505),
            ("HTTP/9.9", 505),
        ] {
            refused(server, format!("GET /healthz {version}\r\nHost: h\r\n\r\n"), status);
        }
        // HTTP/0.9 has no version at all, and its client waits for an answer.
        for line in ["GET /healthz\r\n", "GET /\r\n"] {
            refused(server, line, 400);
        }
    });
}

#[test]
fn attack_018_the_preface_of_http_2() {
    attack(&[], |server| {
        replay_heads(server, 18);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        refused(server, preface, 505);
    });
}

#[test]
fn attack_019_empty_lines_before_a_request() {
    attack(&[], |server| {
        replay_heads(server, 19);
        for (lines, status) in [
            ("\r\n\r\n\r\n", 400),
            ("\n", 400),
            ("\r\n\n", 400),
            ("\r\n\r\n\r\n\r\n\r\n", 400),
            (" \r\n", 400),
            ("\r\n \r\n", 400),
        ] {
            refused(server, [lines.as_bytes(), &request("GET", "/healthz", "")].concat(), status);
        }
        refused(server, "\r\n".repeat(100_000), 400);
        for lines in ["\r\n", "\r\n\r\n"] {
            let bytes = [lines.as_bytes(), &request("GET", "/healthz", "")].concat();
            assert_eq!(server.client().exchange(bytes).status, 200, "{lines:?}");
        }
    });
}

#[test]
fn attack_020_what_speaks_another_protocol() {
    attack(&[], |server| {
        replay_heads(server, 20);
        let tls = [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], &[7; 500]].concat();
        refused(server, tls, 400);
        for opening in [
            &b"\x05\x02\0\x02"[..],                                  // SOCKS 5
            b"\x04\x01\0\x50\x7f\0\0\x01\0",                         // SOCKS 4
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",           // SSH
            b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=a\r\n", // RDP
            b"\0\0\0\x85\xffSMB",                                    // SMB
            b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",                 // MQTT
            b"*1\r\n$4\r\nPING\r\n",                                 // Redis
            b"stats\r\n",                                            // memcached
            b"EHLO mail.example\r\n",                                // SMTP
            b"USER anonymous\r\n",                                   // FTP
            b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",        // RTSP
            b"OPTIONS sip:h SIP/2.0\r\n\r\n",                        // SIP
            b"CONNECT\nlogin:a\n\n\0",                               // STOMP
            b"AMQP\0\0\x09\x01",                                     // AMQP
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",                   // PROXY protocol 1
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",                   // PROXY protocol 2
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",         // a server
            b"{\"jsonrpc\":\"2.0\"}\n",                              // JSON
            b"G\0E\0T\0 \0/\0",                                      // UTF-16
            b"\xef\xbb\xbfGET / HTTP/1.1\r\n",                       // a byte order mark
            b"() { :;}; echo\r\n",                                   // a shell
        ] {
            refused(server, opening, 400);
        }
    });
}

#[test]
fn attack_020_random_bytes() {
    let mut random = Rng::with_seed(20);
    attack(&[], |server| {
        for _ in 0..200 {
            let bytes: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
            let mut client = server.client();
            client.try_send(&bytes);
            client.half_close();
            let said = String::from_utf8(client.rest()).unwrap();
            let is_refusal = said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.1 501 ");
            assert!(said.is_empty() || is_refusal, "{said:?} to {}", bytes.escape_ascii());
            assert_eq!(
                said.matches("\r\nDate: ").count(),
                usize::from(!said.is_empty()),
                "{said:?}"
            );
        }
    });
}

#[test]
fn attack_021_methods_that_are_none_are_unknown_or_have_no_place() {
    attack(&[], |server| {
        replay_heads(server, 21);
        for method in ["GE(T", "G{}", "GET:", "G\"T", "G@T", "G,T", "\u{fc}", "G\u{7f}T"] {
            refused(server, request(method, "/healthz", ""), 400);
        }
        let mut client = server.client();
        for method in ["FROB", "get", "Get", "GETT", "G", "M-SEARCH", "PROPFIND", "!#$%&'*+-.^_`|~"]
        {
            client.exchange(request(method, "/healthz", "")).problem(501);
        }
        for (method, target, allow) in [
            ("PATCH", "/topics/a", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            ("TRACE", "/topics/a", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            ("PUT", "/topics", "GET, HEAD, POST, OPTIONS"),
            ("DELETE", "/topics", "GET, HEAD, POST, OPTIONS"),
            ("POST", "/connections", "GET, HEAD, OPTIONS"),
            ("GET", "/connections/0-0-0", "DELETE, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
            ("DELETE", "/metrics", "GET, HEAD, OPTIONS"),
        ] {
            let answer = client.exchange(request(method, target, ""));
            answer.problem(405);
            assert_eq!(answer.field("Allow"), Some(allow), "{method} {target}");
        }
    });
}

#[test]
fn attack_022_a_method_of_9000_bytes_is_not_collected() {
    attack(&[], |server| {
        replay_heads(server, 22);
        // The answer does not wait for the space behind it.
        refused(server, "M".repeat(33), 501);
        let mut client = server.client();
        client.exchange(request(&"M".repeat(32), "/healthz", "")).problem(501);
        assert_eq!(
            client.exchange(request("GET", "/healthz", "")).status,
            200,
            "a token is a token"
        );
    });
}

#[test]
fn attack_023_long_request_lines() {
    attack(&[], |server| {
        let target = |bytes: usize| format!("/healthz?{}", "x".repeat(bytes - "/healthz?".len()));
        // A request line of 8,000 bytes (RFC 9112 §3), and the longest that is taken.
        for bytes in [8_000 - "GET  HTTP/1.1".len(), 8_192] {
            assert_eq!(server.get(&target(bytes)).status, 200);
        }
        refused(server, request("GET", &target(8_193), ""), 414);
        refused(server, format!("GET {}", target(9_000)), 414);
        refused(server, format!("GET {}", target(1_000_000)), 414);
        replay_heads(server, 23);
    });
}

/// A path below /topics/ is refused with 400 by every method and every wire.
fn refused_name(server: &Server, segment: &str) {
    let target = format!("/topics/{segment}");
    for method in ["GET", "HEAD", "DELETE"] {
        let answer = server.request(method, &target, &[], b"");
        assert_eq!(answer.status, 400, "{method} {target}: {answer:?}");
    }
    for method in ["POST", "PUT"] {
        server.request(method, &target, &[], b"x").problem(400);
    }
    server.request("GET", &target, &[("Accept", "text/event-stream")], b"").problem(400);
    server.request("GET", &target, &handshake(&[]), b"").problem(400);
}

#[test]
fn attack_024_025_escapes_that_are_none_or_no_text() {
    attack(&[], |server| {
        replay_heads(server, 24);
        for target in
            ["/topics/%", "/topics/a%4", "/topics/%zz", "/topics/%%41", "/topics/a?after=%4"]
        {
            refused(server, request("GET", target, ""), 400);
        }
        for control in ["%00", "%01", "%09", "%0a", "%0d", "%0D%0A", "%1b", "%1F", "%7f", "%C2%85"]
        {
            refused_name(server, &format!("a{control}b"));
        }
        for text in [
            "%C0%AE",       // an overlong dot
            "%C1%BF",       // an overlong DEL
            "%E0%80%AF",    // an overlong slash
            "%F0%80%80%AF", // and another
            "%ED%A0%80",    // a surrogate
            "%ED%BF%BF",    // the last one
            "%F4%90%80%80", // beyond U+10FFFF
            "%F5%80%80%80", // never UTF-8
            "%FF",
            "%FE",
            "%80",
            "%BF",
            "%C3",
            "%E2%82",
            "%F0%9F%92", // ends too early
            "%C3a",
            "a%C3%28",
        ] {
            refused_name(server, text);
            for query in [format!("after={text}"), format!("{text}=1"), format!("x={text}")] {
                let target = format!("/topics/a?{query}");
                server.request("GET", &target, &[], b"").problem(400);
                server.request("POST", &target, &[], b"x").problem(400);
            }
        }
        assert_eq!(data(&server.poll("/topics/a")), [""; 0], "nothing was published");
        // No replacement character: that would be one topic for all of them.
        assert_eq!(data(&server.poll("/topics/%EF%BF%BD")), [""; 0]);
    });
}

#[test]
fn attack_026_names_are_split_before_they_are_decoded_and_decoded_once() {
    attack(&[], |server| {
        // Names that other servers take for something else: each is a topic of its own.
        let names = [
            ("..", ".."),
            (".", "."),
            ("...", "..."),
            ("a%2Fb", "a/b"),
            ("%2e%2e%2fetc%2fpasswd", "../etc/passwd"),
            ("%252e%252e", "%2e%2e"),
            ("%252F", "%2F"),
            ("a%5Cb", "a\\b"),
            ("a%3Fb", "a?b"),
            ("a%23b", "a#b"),
            ("a%25b", "a%b"),
            ("a+b", "a+b"),
            ("a%20b", "a b"),
            ("a;b=c", "a;b=c"),
            ("C:", "C:"),
        ];
        for (segment, _) in names {
            server.publish(segment, segment);
        }
        for (segment, name) in names {
            let poll = server.poll(&format!("/topics/{segment}"));
            assert_eq!(data(&poll), [segment]);
            assert_eq!(poll["messages"][0]["topic"], name);
        }
        // The same name, however it is written.
        assert_eq!(data(&server.poll("/topics/%2E%2E")), [".."]);
        for path in [
            "/topics/a/b",
            "/topics//a",
            "/topics/a/",
            "/topics/./a",
            "/topics/../metrics",
            "/topics/a/..",
            "/../topics/a",
            "/./topics/a",
            "//topics/a",
            "/topics%2Fa",
            "/%74opics/a",
            "/TOPICS/a",
            "/topics%00/a",
            "/etc/passwd",
            "/..%2f..%2fetc%2fpasswd",
            "/page.js/",
            "/%2e/page.js",
        ] {
            server.get(path).problem(404);
        }
        refused_name(server, "");
    });
}

#[test]
fn attack_027_characters_that_cannot_be_seen() {
    attack(&[], |server| {
        for character in [
            '\u{ad}',
            '\u{600}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202a}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{2066}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e007f}',
            '\u{80}',
            '\u{9f}',
        ] {
            let mut bytes = [0; 4];
            let encoded: String = character
                .encode_utf8(&mut bytes)
                .bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect();
            refused_name(server, &format!("a{encoded}b"));
        }
        // Composed and decomposed, upper and lower case, look-alikes: topics of their own.
        let names = [
            "%C3%A9",
            "e%CC%81",
            "%C3%89",
            "a",
            "A",
            "%D0%B0",
            "%EF%BD%81",
            "k",
            "%E2%84%AA",
            "ss",
            "%C3%9F",
        ];
        for name in names {
            server.publish(name, name);
        }
        for name in names {
            assert_eq!(data(&server.poll(&format!("/topics/{name}"))), [name]);
        }
    });
}

#[test]
fn attack_028_reserved_characters_in_a_name() {
    attack(&[], |server| {
        for name in ["*", "a*", ">", "a%3Eb", "%2A", "a%2Cb", "%2c"] {
            refused_name(server, name);
        }
        server.request("POST", "/topics/a,b", &[], b"x").problem(400);
        server.request("DELETE", "/topics/a,b", &[], b"").problem(400);
        for name in [",", "a,", ",a", "a,,b"] {
            refused_name(server, name);
        }
        let ndjson = [("Content-Type", "application/x-ndjson")];
        let (mut socket, _) = server.json_websocket("/topics");
        for name in ["*", "a*", ">", "a,b", "", "\u{202e}", "\n"] {
            let line = json!({"topic": name, "data": "x"}).to_string();
            let report = server.request("POST", "/topics", &ndjson, line.as_bytes()).text();
            let report: serde_json::Value = serde_json::from_str(report.trim()).unwrap();
            assert_eq!(report["error"]["status"], 400, "{name:?}: {report}");
            for command in [
                json!({"type": "publish", "topic": name, "data": "x"}),
                json!({"type": "subscribe", "topic": name}),
                json!({"type": "unsubscribe", "topics": ["a", name]}),
            ] {
                let answer = socket.command(&command.to_string());
                assert_eq!(
                    (&answer["type"], &answer["status"]),
                    (&json!("error"), &json!(400)),
                    "{command}"
                );
            }
        }
        assert_eq!(server.metric("tidings_messages_published_total"), 0);
        // What other brokers reserve is a character like any other here: there are no wildcards but these.
        for name in ["$SYS", "%23", "a.b", "+", "$share"] {
            server.publish(name, "x");
            assert_eq!(data(&server.poll(&format!("/topics/{name}"))), ["x"]);
        }
    });
}

#[test]
fn attack_029_the_same_parameter_twice_and_too_many() {
    attack(&[], |server| {
        for query in [
            "after=earliest&after=latest",
            "after=earliest&%61fter=earliest",
            "after&after",
            "last=1&last=1",
            "wait=0&wait=0",
            "event=a&event=b",
            "envelope&envelope",
            "x=1&x=2",
        ] {
            for method in ["GET", "POST"] {
                server.request(method, &format!("/topics/a?{query}"), &[], b"").problem(400);
            }
            server.request("GET", &format!("/topics/a?{query}"), &handshake(&[]), b"").problem(400);
        }
        let keys = |count: usize| (0..count).map(|key| format!("{key}&")).collect::<String>();
        assert_eq!(server.get(&format!("/topics/a?{}", keys(64))).status, 200);
        for count in [65, 1_500] {
            server.get(&format!("/topics/a?{}", keys(count))).problem(400);
        }
        // As many as a target has room for.
        server.get(&format!("/topics/a?{}", "a&".repeat(4_000))).problem(400);
        assert_eq!(server.get(&format!("/topics/a?{}", "&".repeat(8_000))).status, 200);
        refused(server, request("GET", &format!("/topics/a?{}", "a&".repeat(100_000)), ""), 414);
    });
}

#[test]
fn attack_030_a_long_query_of_escapes() {
    attack(&[], |server| {
        let escapes = "%41".repeat(2_700);
        let mut client = server.client();
        for _ in 0..50 {
            let target = format!("/topics/a?other={escapes}");
            assert_eq!(client.request("GET", &target, &[], b"").status, 200);
            let target = format!("/topics/a?after={escapes}");
            client.request("GET", &target, &[], b"").problem(400);
        }
        // An event name has at most 128 bytes, a topic's 200, before and behind decoding.
        server.request("POST", &format!("/topics/a?event={escapes}"), &[], b"x").problem(400);
        refused_name(server, &escapes);
        refused_name(server, &"%41".repeat(201));
        server.publish(&"%41".repeat(200), "x");
        assert_eq!(data(&server.poll(&format!("/topics/{}", "A".repeat(200)))), ["x"]);
    });
}
