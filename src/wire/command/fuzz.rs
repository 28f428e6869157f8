//! What must hold of any command or line, whatever is sent.

use serde_json::{Value, json};

use super::*;

/// For fuzzing: reads `bytes` as a command of `tidings.json` and as a line of a batch.
///
/// # Panics
/// If one that is taken says something else to `serde_json` on its own; if one that is refused is well
/// formed; if what was understood, written anew, is understood otherwise.
pub fn fuzz_commands(bytes: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    match parse_line(bytes) {
        Ok(draft) => {
            // Numbers that are too large for it are text to us: whatever stands in data is passed on.
            if let Some(value) = &value {
                check_draft(&draft, value);
            }
            let again = parse_line(written(&draft).to_string().as_bytes());
            assert_eq!(again.as_ref(), Ok(&draft));
        }
        Err(error) => check_error(error, value.as_ref(), None),
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (request, command) = parse_command(text);
    if let Some(request) = &request {
        let request: Value = serde_json::from_str(request).unwrap_or(Value::from(0));
        assert!(request.is_number() || request.is_string(), "{request}");
    }
    assert!(request.is_none_or(|request| request.len() <= REQUEST_BYTES_MAX));
    match command {
        Ok(command) => {
            if let Some(value) = &value {
                check_command(&command, value);
            }
            check_written(&command);
        }
        Err(error) => check_error(error, value.as_ref(), Some("type")),
    }
}

/// A refusal says something that is true; `kind` is the member that only commands have.
fn check_error(error: CommandError, value: Option<&Value>, kind: Option<&str>) {
    assert!(error.detail().ends_with('.'));
    let Some(value) = value else { return };
    let has = |name: &str| value.get(name).is_some();
    match error {
        CommandError::UnknownType => assert!(kind.is_some_and(|kind| {
            let kind = value[kind].as_str().unwrap_or_default();
            !["subscribe", "unsubscribe", "publish", "ping"].contains(&kind)
        })),
        CommandError::MissingMember => {
            let is_empty = value["topics"].as_array().is_some_and(Vec::is_empty);
            assert!(!has("data") || !has("topic") || is_empty);
        }
        CommandError::BadEncoding => assert!(has("encoding")),
        CommandError::BadRequestMember => assert!(has("request")),
        CommandError::Malformed | CommandError::SurplusMember => (),
    }
}

fn check_draft(draft: &Draft, value: &Value) {
    assert_eq!(value["topic"], json!(draft.topic));
    assert_eq!(value["event"].as_str(), draft.event.as_deref());
    assert_eq!(value["key"].as_str(), draft.key.as_deref());
    let payload = &draft.payload[..];
    match (&value["data"], value["encoding"].as_str()) {
        (Value::String(text), Some("base64")) => assert_eq!(*text, STANDARD.encode(payload)),
        (Value::String(text), None) if !is_json(&draft.content_type) => {
            assert_eq!(text.as_bytes(), payload);
        }
        (data, None) => {
            assert_eq!(serde_json::from_slice::<Value>(payload).ok().as_ref(), Some(data));
        }
        (data, encoding) => panic!("{data} in {encoding:?}"),
    }
}

fn check_command(command: &Command, value: &Value) {
    let named = |topics: &[String]| {
        assert!(value["topic"] == json!(topics[0]) || value["topics"] == json!(topics));
    };
    let kind = match command {
        Command::Subscribe { topics, after, last } => {
            named(topics);
            assert_eq!(value["after"].as_str(), after.as_deref());
            assert_eq!(value["last"].as_u64(), *last);
            "subscribe"
        }
        Command::Unsubscribe { topics } => {
            named(topics);
            "unsubscribe"
        }
        Command::Publish(draft) => {
            check_draft(draft, value);
            "publish"
        }
        Command::Ping => "ping",
    };
    assert_eq!(value["type"], kind);
}

/// A draft with its payload in base64, which holds any.
fn written(draft: &Draft) -> Value {
    let mut value = json!({
        "topic": draft.topic, "data": STANDARD.encode(&draft.payload), "encoding": "base64",
        "content_type": draft.content_type,
    });
    for (name, member) in [("event", &draft.event), ("key", &draft.key)] {
        if let Some(member) = member {
            value[name] = json!(member);
        }
    }
    value
}

fn check_written(command: &Command) {
    let mut value = match command {
        Command::Subscribe { topics, after, last } => {
            json!({"type": "subscribe", "topics": topics, "after": after, "last": last})
        }
        Command::Unsubscribe { topics } => json!({"type": "unsubscribe", "topics": topics}),
        Command::Publish(draft) => {
            let mut value = written(draft);
            value["type"] = json!("publish");
            value
        }
        Command::Ping => json!({"type": "ping"}),
    };
    value["request"] = json!("again");
    let (request, again) = parse_command(&value.to_string());
    assert_eq!((request.as_deref(), again.as_ref()), (Some("\"again\""), Ok(command)));
}

#[test]
fn the_corpus_of_commands_keeps_every_promise() {
    crate::fuzzing::replay("commands", fuzz_commands);
}
