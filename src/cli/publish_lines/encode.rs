//! A line of input as a line of the request (protocol 5.3).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::publish::PublishArguments;

/// One message as a line of the request, its LF included; the error says why it cannot be one.
pub(super) fn encode_line(
    arguments: &PublishArguments,
    key: &str,
    line: &[u8],
) -> Result<Vec<u8>, String> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Data<'a> {
        Text(&'a str),
        Json(&'a RawValue),
        Base64(String),
    }
    #[derive(Serialize)]
    struct Message<'a> {
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_type: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<&'a str>,
        data: Data<'a>,
    }
    let mut content_type = arguments.content_type.as_deref();
    let text = std::str::from_utf8(line);
    let data = if arguments.json {
        let text = text.map_err(|_| "not JSON: not UTF-8".to_owned())?;
        let value: &RawValue =
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        // A string would be taken for text without it.
        content_type = content_type.or(Some("application/json"));
        Data::Json(value)
    } else {
        let is_text =
            content_type.is_none_or(|name| name.to_ascii_lowercase().starts_with("text/"));
        match text {
            Ok(text) if is_text => Data::Text(text),
            _ => Data::Base64(BASE64_STANDARD.encode(line)),
        }
    };
    let encoding = matches!(data, Data::Base64(_)).then_some("base64");
    if encoding.is_some() {
        content_type = content_type.or(Some("application/octet-stream"));
    }
    let event = arguments.event.as_deref();
    let message = Message { topic: &arguments.topic, event, key, content_type, encoding, data };
    let mut encoded = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
    encoded.push(b'\n');
    Ok(encoded)
}
