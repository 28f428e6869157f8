//! What is measured, as URLs: where to subscribe on each wire, and where to publish.

use std::net::{SocketAddr, ToSocketAddrs};

use clap::ValueEnum;

use super::subscriber::Resume;
use super::wire::{WIRES, Wire};
use crate::cli::base_url::BaseUrl;

/// What stands for the topic in a URL.
const TOPIC: &str = "{topic}";

/// Connects under way, unless something else is said.
pub(super) const CONNECTING_MAX: usize = 256;

/// Kinds of server, by where below their base URL things are.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// BASE/topics/{topic}, all wires, batches to BASE/topics
    #[default]
    Tidings,
    /// nginx with nchan: subscribe at BASE/sub/{topic}, publish to BASE/pub/{topic}
    Nchan,
    /// BASE/{topic} for everything: the wire is told by Accept and Upgrade
    Plain,
}

/// A URL with a place for the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    address: SocketAddr,
    authority: String,
    before: String,
    /// Behind the topic; `None` when the URL has no place for one.
    after: Option<String>,
}

impl Template {
    /// Takes a URL apart and resolves its host; the error says what to write instead.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let authority = url.find("://").map_or(0, |scheme| scheme + 3);
        let path = url[authority..].find('/').map_or(url.len(), |slash| authority + slash);
        let (base, path) = url.split_at(path);
        let base = BaseUrl::parse(base)?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{url:?} may have printable ASCII characters only"));
        }
        let addresses = base.address().to_socket_addrs();
        let mut addresses: Vec<_> =
            addresses.map_err(|error| format!("cannot find {url}: {error}"))?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let address = *addresses.first().ok_or_else(|| format!("{url} has no address"))?;
        let path = if path.is_empty() { "/" } else { path };
        let (before, after) = match path.split_once(TOPIC) {
            Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
            None => (path.to_owned(), None),
        };
        Ok(Self { address, authority: base.authority().to_owned(), before, after })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole URL, for people.
    fn url(&self, topic: &str) -> String {
        let Self { authority, before, .. } = self;
        match &self.after {
            Some(after) => format!("http://{authority}{before}{topic}{after}"),
            None => format!("http://{authority}{before}"),
        }
    }

    /// Method, target and host of a request.
    fn request_line(&self, method: &str, topic: &str, query: &str) -> String {
        let Self { authority, before, .. } = self;
        let (topic, after) = match &self.after {
            Some(after) => (topic, after.as_str()),
            None => ("", ""),
        };
        let mark = match query {
            "" => "",
            _ if after.contains('?') || before.contains('?') => "&",
            _ => "?",
        };
        format!("{method} {before}{topic}{after}{mark}{query} HTTP/1.1\r\nHost: {authority}\r\n")
    }
}

/// A server, as a generator sees it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// For people.
    pub(super) name: String,
    pub(super) preset: Preset,
    subscribe: [Option<Template>; WIRES],
    publish: Option<Template>,
    batch: Option<Template>,
    /// Connects that may be under way.
    pub(super) connecting_max: usize,
}

impl Target {
    /// The server at `base`, of a known kind.
    pub(super) fn at(base: &str, preset: Preset) -> Result<Self, String> {
        let base = base.trim_end_matches('/');
        let template = |path: &str| Template::parse(&format!("{base}{path}"));
        let (subscribe, wait, publish) = match preset {
            Preset::Tidings => ("/topics/{topic}", "/topics/{topic}?wait=50", "/topics/{topic}"),
            Preset::Nchan => ("/sub/{topic}", "/sub/{topic}", "/pub/{topic}"),
            Preset::Plain => ("/{topic}", "/{topic}", "/{topic}"),
        };
        let (subscribe, wait) = (template(subscribe)?, template(wait)?);
        let batch = (preset == Preset::Tidings).then(|| template("/topics")).transpose()?;
        let subscribe = Wire::ALL.map(|wire| match (wire, preset) {
            (Wire::LongPoll, _) => Some(wait.clone()),
            // It has neither, unless it is told so URL by URL.
            (Wire::Ndjson | Wire::ShortPoll, Preset::Nchan) => None,
            _ => Some(subscribe.clone()),
        });
        let name = format!("{base} ({preset:?})").to_lowercase();
        Ok(Self {
            name,
            preset,
            subscribe,
            publish: Some(template(publish)?),
            batch,
            connecting_max: CONNECTING_MAX,
        })
    }

    /// A server that is known by single URLs only.
    pub(super) fn unknown(name: String) -> Self {
        let subscribe = [const { None }; WIRES];
        Self {
            name,
            preset: Preset::Plain,
            subscribe,
            publish: None,
            batch: None,
            connecting_max: CONNECTING_MAX,
        }
    }

    /// Subscribes at `template` on one wire, or on all.
    pub(super) fn subscribe_at(&mut self, wire: Option<Wire>, template: &Template) {
        for one in Wire::ALL.into_iter().filter(|one| wire.is_none_or(|wire| wire == *one)) {
            self.subscribe[one.index()] = Some(template.clone());
        }
    }

    /// Publishes at `template`, one at a time.
    pub(super) fn publish_at(&mut self, template: Template) {
        self.publish = Some(template);
        self.batch = None;
    }

    /// Where subscribers of a wire connect to.
    ///
    /// # Errors
    /// When nobody said where.
    pub(super) fn subscribe_address(&self, wire: Wire) -> Result<SocketAddr, String> {
        let template = self.subscribe[wire.index()].as_ref();
        let missing =
            || format!("where does {} take {wire}? Say --subscribe-url {wire}=http://…", self.name);
        template.map(Template::address).ok_or_else(missing)
    }

    /// Where publishers connect to.
    ///
    /// # Errors
    /// When nobody said where.
    pub(super) fn publish_address(&self) -> Result<SocketAddr, String> {
        let template = self.publish.as_ref();
        let missing = || format!("where is published to {}? Say --publish-url http://…", self.name);
        template.map(Template::address).ok_or_else(missing)
    }

    /// What to say of a publish, or of a batch of them, that was answered with this status and so refused.
    pub(super) fn describe_refusal(&self, topic: &str, is_batch: bool, status: u16) -> String {
        let template = if is_batch { &self.batch } else { &self.publish };
        let url = template.as_ref().map(|template| template.url(topic)).unwrap_or_default();
        let advice = match status {
            200..=299 => "an error for a line of the batch: the server's log may say why",
            401 | 403 => "it has to let anybody publish who has no token",
            404 | 405 => "where else is published to? Say --publish-url http://…, or --target",
            413 => "give it smaller messages: --size",
            429 | 503 => {
                "it is too busy, or at a limit of its own: raise that, or publish more slowly"
            }
            _ => "the server's log may say why",
        };
        format!("publishing to {url} was answered {status}: {advice}")
    }

    /// Whether it takes many messages in one request.
    pub(super) const fn takes_batches(&self) -> bool {
        self.batch.is_some()
    }

    /// The request that subscribes; `after` is a cursor to begin behind.
    pub(super) fn subscribe_request(
        &self,
        wire: Wire,
        topic: &str,
        resume: &Resume,
        after: Option<&str>,
    ) -> Vec<u8> {
        let Some(template) = &self.subscribe[wire.index()] else { return Vec::new() };
        // An event stream and polls have fields for it.
        let query = match (wire, after) {
            (Wire::Ndjson | Wire::Websocket, Some(after)) => format!("after={after}"),
            _ => String::new(),
        };
        let mut request = template.request_line("GET", topic, &query);
        let mut field = |name: &str, value: &str| {
            request.push_str(name);
            request.push_str(": ");
            request.push_str(value);
            request.push_str("\r\n");
        };
        match wire {
            Wire::Sse => {
                field("Accept", "text/event-stream");
                if let Some(after) = after {
                    field("Last-Event-ID", after);
                }
            }
            Wire::Ndjson => field("Accept", "application/x-ndjson"),
            Wire::Websocket => {
                field("Upgrade", "websocket");
                field("Connection", "Upgrade");
                field("Sec-WebSocket-Version", "13");
                // RFC 6455 §1.3's own example: what the server makes of it is not looked at.
                field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
            }
            Wire::LongPoll | Wire::ShortPoll => {
                if let Some(etag) = &resume.etag {
                    field("If-None-Match", etag);
                }
                if let Some(modified) = &resume.last_modified {
                    field("If-Modified-Since", modified);
                }
            }
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// Appends a request that publishes `payload`.
    pub(super) fn encode_publish(&self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        let Some(template) = &self.publish else { return };
        let line = template.request_line("POST", topic, "");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"Content-Type: text/plain\r\nContent-Length: ");
        out.extend_from_slice(payload.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(payload);
    }

    /// Appends a request that publishes the messages of `lines`, a JSON object each.
    pub(super) fn encode_batch(&self, lines: &[u8], out: &mut Vec<u8>) {
        let Some(template) = &self.batch else { return };
        let line = template.request_line("POST", "", "");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"Content-Type: application/x-ndjson\r\nContent-Length: ");
        out.extend_from_slice(lines.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(lines);
    }

    /// A request after which a topic exists, without a message in it; answered without a body.
    pub(super) fn encode_begin(&self, topic: &str, out: &mut Vec<u8>) {
        let Some(template) = &self.publish else { return };
        out.extend_from_slice(template.request_line("HEAD", topic, "").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: Vec<u8>) -> String {
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn a_preset_knows_where_everything_is() {
        let target = Target::at("http://127.0.0.1:8080/", Preset::Tidings).unwrap();
        let none = Resume::default();
        let sse = text(target.subscribe_request(Wire::Sse, "t", &none, Some("a-1")));
        assert!(sse.starts_with("GET /topics/t HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
        assert!(sse.contains("\r\nLast-Event-ID: a-1\r\n") && sse.ends_with("\r\n\r\n"));
        let lines = text(target.subscribe_request(Wire::Ndjson, "t", &none, Some("a-1")));
        assert!(lines.starts_with("GET /topics/t?after=a-1 HTTP/1.1\r\n"));
        let poll = text(target.subscribe_request(Wire::LongPoll, "t", &none, Some("a-1")));
        assert!(poll.starts_with("GET /topics/t?wait=50 HTTP/1.1\r\n"));
        let target = Target::at("http://127.0.0.1:1", Preset::Nchan).unwrap();
        assert!(target.subscribe_address(Wire::Ndjson).unwrap_err().contains("--subscribe-url"));
        assert!(!target.takes_batches());
    }

    #[test]
    fn a_poll_says_where_it_goes_on_from() {
        let target = Target::at("http://127.0.0.1:8080", Preset::Nchan).unwrap();
        let resume = Resume { etag: Some("\"3\"".into()), last_modified: Some("Sun".into()) };
        let poll = text(target.subscribe_request(Wire::LongPoll, "t", &resume, None));
        assert!(poll.contains("\r\nIf-None-Match: \"3\"\r\nIf-Modified-Since: Sun\r\n"));
    }

    #[test]
    fn urls_are_given_wire_by_wire() {
        let mut target = Target::unknown("it".to_owned());
        let template = Template::parse("http://127.0.0.1:9/x/{topic}/y?a=b").unwrap();
        target.subscribe_at(Some(Wire::Sse), &template);
        target.publish_at(Template::parse("http://127.0.0.1:9/publish").unwrap());
        assert!(target.subscribe_address(Wire::Websocket).is_err());
        let request = text(target.subscribe_request(Wire::Sse, "t", &Resume::default(), None));
        assert!(request.starts_with("GET /x/t/y?a=b HTTP/1.1\r\n"));
        let mut out = Vec::new();
        target.encode_publish("t", b"abc", &mut out);
        let publish = text(out);
        assert!(publish.starts_with("POST /publish HTTP/1.1\r\n"), "{publish}");
        assert!(publish.ends_with("Content-Length: 3\r\n\r\nabc"));
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["https://127.0.0.1/", "127.0.0.1", "http://127.0.0.1:x/", "http://"] {
            assert!(Template::parse(url).is_err(), "{url}");
        }
    }
}
