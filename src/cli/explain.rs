//! `tidings explain`: what a running server would do with a request, and why.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::base_url::BaseUrl;
use super::coming_back::Failure;
use super::http::{Connection, USER_AGENT};

mod text;

/// How long the answer may take.
const SILENCE_MAX: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  tidings explain 'http://127.0.0.1:8080/topics/news?wait=25'
  tidings explain http://127.0.0.1:8080/topics/news -H 'Accept: text/event-stream' \\
      -H 'Last-Event-ID: 7n2m4k8q-42'
  tidings explain ws://127.0.0.1:8080/topics/news -H 'Origin: https://example.org'
  tidings explain https://push.example.org/topics/news --admin http://127.0.0.1:9090
                                what the server behind a proxy would do; only it is asked

Nothing is begun, counted or published. Write -H as the browser's developer tools show the fields,
and behind a proxy as the proxy passes them on. Only the operator is answered: at --admin-listen,
or without that at a loopback address.

Exit codes: 0 when the server has explained, also a refusal; 1 when it did not; 2 when the command
line is wrong.";

/// The flags of `tidings explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArguments {
    /// What a client would ask for; ws:// for what a browser's WebSocket would
    url: String,
    /// A header field of the request; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_field)]
    fields: Vec<String>,
    /// Its method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Base URL of whom to ask, if it is not the server of the request (--admin-listen)
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Print the answer as the server gave it
    #[arg(long)]
    json: bool,
}

/// Runs the command; returns what to exit with.
#[must_use]
pub fn run(arguments: &ExplainArguments) -> ExitCode {
    match explain(arguments) {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("tidings: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn explain(arguments: &ExplainArguments) -> Result<String, Failure> {
    let asked = Asked::parse(&arguments.url).map_err(Failure::Final)?;
    let server = arguments.admin.as_ref().unwrap_or(&asked.server);
    let base = BaseUrl::parse(server).map_err(Failure::Final)?;
    let request = asked.request(&arguments.method, &arguments.fields);
    let mut connection = Connection::open(&base, SILENCE_MAX)?;
    let head = format!(
        "POST {}/explain HTTP/1.1\r\nHost: {}\r\n{USER_AGENT}Content-Type: message/http\r\nContent-Length: {}\r\n\r\n",
        base.prefix(),
        base.authority(),
        request.len()
    );
    let answer = connection.post(&head, request.as_bytes())?;
    if answer.status != 200 {
        return Err(connection.refusal(&answer));
    }
    let body = connection.read_body(&answer)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    if arguments.json {
        return Ok(body);
    }
    text::readable(&body)
        .map_err(|error| Failure::Final(format!("the server's answer is not understood: {error}")))
}

/// A URL taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// Whom to ask, if nobody else is named.
    server: String,
    /// The value of `Host`.
    authority: String,
    target: String,
    is_websocket: bool,
}

impl Asked {
    fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("{url:?} is no URL: it has to begin with http:// or ws://"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let (is_websocket, is_secure) = match scheme.as_str() {
            "http" => (false, false),
            "https" => (false, true),
            "ws" => (true, false),
            "wss" => (true, true),
            _ => return Err(format!("{url:?} is none of http, https, ws and wss")),
        };
        // A fragment stays in the browser.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let server = format!("{}://{authority}", if is_secure { "https" } else { "http" });
        Ok(Self { server, authority: authority.to_owned(), target, is_websocket })
    }

    /// The head that a client would send.
    fn request(&self, method: &str, fields: &[String]) -> String {
        let has = |name: &str| {
            fields.iter().any(|field| {
                field.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name))
            })
        };
        let mut head = format!("{method} {} HTTP/1.1\r\n", self.target);
        let mut add = |name: &str, value: &str| {
            if !has(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        };
        add("Host", &self.authority);
        if self.is_websocket {
            add("Connection", "Upgrade");
            add("Upgrade", "websocket");
            add("Sec-WebSocket-Version", "13");
            // RFC 6455 §1.3 has it; any 16 bytes would do.
            add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        if matches!(method, "POST" | "PUT") && !has("Transfer-Encoding") {
            add("Content-Length", "0");
        }
        for field in fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head + "\r\n"
    }
}

/// `Name: value`. What else may be wrong with it is for the server to say.
fn parse_field(text: &str) -> Result<String, String> {
    let is_line = !text.contains(['\r', '\n']);
    let has_name = text.split_once(':').is_some_and(|(name, _)| !name.is_empty());
    (is_line && has_name).then(|| text.to_owned()).ok_or("give NAME: VALUE on one line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::scripted;

    #[test]
    fn a_url_becomes_the_request_that_a_client_would_send() {
        let asked = Asked::parse("http://a:81/topics/x?wait=5#part").unwrap();
        assert_eq!(asked.server, "http://a:81");
        assert_eq!(
            asked.request("GET", &["Accept: */*".to_owned()]),
            "GET /topics/x?wait=5 HTTP/1.1\r\nHost: a:81\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(Asked::parse("http://a").unwrap().target, "/");
        assert_eq!(Asked::parse("http://a?b").unwrap().target, "/?b");
        assert!(Asked::parse("a/topics/x").is_err());
        assert!(Asked::parse("ftp://a/").is_err());
    }

    #[test]
    fn a_websocket_has_its_handshake_and_a_publish_a_length() {
        let asked = Asked::parse("wss://a/topics/x").unwrap();
        assert_eq!(asked.server, "https://a");
        let fields = ["Host: b".to_owned(), "sec-websocket-version: 8".to_owned()];
        let request = asked.request("GET", &fields);
        assert!(request.contains("Upgrade: websocket\r\n") && !request.contains("Host: a"));
        assert!(!request.contains("Sec-WebSocket-Version: 13"));
        let publish = Asked::parse("http://a/topics/x").unwrap().request("POST", &[]);
        assert!(publish.ends_with("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_field_is_one_line_with_a_name() {
        assert!(parse_field("Origin: https://a").is_ok());
        for wrong in ["Origin", ": x", "A: b\r\nC: d"] {
            assert!(parse_field(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_refusal_to_explain_is_said() {
        let problem = "{\"title\":\"No\",\"status\":403,\"detail\":\"Ask elsewhere.\"}";
        let fields = "Content-Type: application/problem+json\r\n";
        let (url, serving) = scripted::serve(vec![scripted::answer(scripted::whole(
            "403 Forbidden",
            fields,
            problem,
        ))]);
        let arguments = ExplainArguments {
            url: format!("{url}/topics/x"),
            fields: Vec::new(),
            method: "GET".to_owned(),
            admin: None,
            json: false,
        };
        let Err(Failure::Final(why)) = explain(&arguments) else { panic!("it was refused") };
        assert!(why.contains("Ask elsewhere."), "{why}");
        let asked = serving.join().unwrap().remove(0);
        assert!(asked.starts_with("POST /explain HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\n\r\nGET /topics/x HTTP/1.1\r\nHost: "), "{asked}");
    }
}
