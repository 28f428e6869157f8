//! An explanation as lines for people.

use std::fmt::Write as _;

use serde::Deserialize;

/// What a server says it would do (docs/protocol.md 13.3).
#[derive(Deserialize)]
struct Explained {
    request: Option<Request>,
    origin: Option<Origin>,
    route: Option<Route>,
    start: Option<Start>,
    #[serde(default)]
    topics: Vec<Topic>,
    #[serde(default)]
    limits: Vec<Limit>,
    answer: Answer,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    version: String,
    path: String,
    query: String,
    host: String,
}

#[derive(Deserialize)]
struct Origin {
    rule: String,
    because: String,
    sent: Option<String>,
    access_control_allow_origin: Option<String>,
}

#[derive(Deserialize)]
struct Route {
    is: String,
    because: String,
}

#[derive(Deserialize)]
struct Start {
    at: String,
    because: String,
}

#[derive(Deserialize)]
struct Topic {
    topic: String,
    state: String,
    cursor: Option<Cursor>,
    epoch: Option<String>,
    first: Option<u64>,
    next: Option<u64>,
    /// Absent: there is none. Null: nobody knows how large it is.
    #[serde(default, deserialize_with = "present")]
    gap: Option<Option<u64>>,
    behind: Option<u64>,
    because: Option<String>,
}

#[derive(Deserialize)]
struct Cursor {
    epoch: String,
    sequence: u64,
}

#[derive(Deserialize)]
struct Limit {
    flag: String,
    limit: f64,
    used: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    because: String,
    problem: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The answer of a server in lines, each with what it is about before it.
pub(super) fn readable(body: &str) -> Result<String, serde_json::Error> {
    let explained: Explained = serde_json::from_str(body)?;
    let mut lines = Vec::new();
    if let Some(Request { method, version, path, query, host }) = explained.request {
        let mark = if query.is_empty() { "" } else { "?" };
        lines.push(("request", format!("{method} {path}{mark}{query} HTTP/{version}, for {host}")));
    }
    if let Some(Origin { rule, because, sent, access_control_allow_origin }) = explained.origin {
        let sent = sent.map(|sent| format!(" {sent}")).unwrap_or_default();
        let told = access_control_allow_origin
            .map(|origin| format!(" Access-Control-Allow-Origin: {origin}"))
            .unwrap_or_default();
        lines.push(("origin", format!("{rule}{sent}. {because}{told}")));
    }
    if let Some(Route { is, because }) = explained.route {
        lines.push(("route", format!("{is}. {because}")));
    }
    if let Some(Start { at, because }) = explained.start {
        lines.push(("start", format!("{at}. {because}")));
    }
    lines.extend(explained.topics.iter().map(|topic| ("topic", topic.text())));
    lines.extend(explained.limits.iter().map(|Limit { flag, limit, used }| {
        let used = used.map(|used| format!(", of which it has {used}")).unwrap_or_default();
        ("limit", format!("{flag} {limit}{used}"))
    }));
    let Answer { status, because, problem } = explained.answer;
    lines.push(("answer", format!("{status}. {because}")));
    if let Some(Problem { kind, title, detail }) = problem {
        lines.push(("", format!("{title}. {detail}")));
        lines.push(("", format!("See {kind} (docs/errors.md, and GET /errors of the server).")));
    }
    let mut out = String::new();
    for (what, text) in lines {
        // Whatever came in with a field must not steer a terminal.
        let text: String =
            text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{what:8} {text}");
    }
    Ok(out)
}

impl Topic {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.topic, self.state);
        if let (Some(epoch), Some(first), Some(next)) = (&self.epoch, self.first, self.next) {
            let retained = match next.saturating_sub(first) {
                0 => "nothing is retained".to_owned(),
                _ => format!("{first} to {} are retained", next.saturating_sub(1)),
            };
            let _ = write!(text, " in epoch {epoch}, {retained}, the next is {next}");
        }
        if let Some(Cursor { epoch, sequence }) = &self.cursor {
            let _ = write!(text, "; the cursor has {sequence} of epoch {epoch}");
        }
        match self.gap {
            Some(Some(count)) => {
                let _ = write!(text, "; a gap of {count} would be declared");
            }
            Some(None) => text.push_str("; a gap of unknown size would be declared"),
            None => (),
        }
        if let Some(behind) = self.behind {
            let _ = write!(text, "; {behind} messages to be given");
        }
        match &self.because {
            Some(because) => text + ". " + because,
            None => text + ".",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_read_line_by_line_and_steers_no_terminal() {
        let body = r#"{"request":{"method":"GET","version":"1.1","path":"/topics/a","query":"wait=5","host":"h"},
            "origin":{"rule":"foreign","because":"It is another.","sent":"https://\u001bx","allowed":[]},
            "route":{"is":"long poll","because":"The query has wait."},
            "start":{"at":"cursor","because":"The query has after."},
            "topics":[{"topic":"a","state":"there","epoch":"e","first":2,"next":5,
                "cursor":{"epoch":"f","sequence":1},"gap":null,"behind":3,"because":"Another epoch."}],
            "limits":[{"flag":"--wait-max","limit":50,"used":5}],
            "answer":{"status":403,"because":"Origins first.",
                "problem":{"type":"/errors#foreign-origin","title":"T","status":403,"detail":"D."}}}"#;
        let text = readable(body).unwrap();
        assert_eq!(
            text,
            "request  GET /topics/a?wait=5 HTTP/1.1, for h\n\
             origin   foreign https://\u{fffd}x. It is another.\n\
             route    long poll. The query has wait.\n\
             start    cursor. The query has after.\n\
             topic    a: there in epoch e, 2 to 4 are retained, the next is 5; \
             the cursor has 1 of epoch f; a gap of unknown size would be declared; \
             3 messages to be given. Another epoch.\n\
             limit    --wait-max 50, of which it has 5\n\
             answer   403. Origins first.\n         T. D.\n         \
             See /errors#foreign-origin (docs/errors.md, and GET /errors of the server).\n"
        );
    }

    #[test]
    fn what_is_no_explanation_is_an_error() {
        assert!(readable("{}").is_err());
        assert!(readable("ok\n").is_err());
    }
}
