//! What must hold of any query, whatever is sent.

use super::*;

/// For fuzzing: parses `bytes` as a query, and writes them as one.
///
/// # Panics
/// If a query is understood otherwise than by decoding its pairs one by one; if it is refused without a
/// reason; if what is written is not read back.
pub fn fuzz_query(bytes: &[u8]) {
    if let Ok(raw) = str::from_utf8(bytes) {
        let pairs: Vec<_> =
            raw.split('&').filter(|pair| !pair.is_empty()).map(decode_pair).collect();
        match Query::parse(raw) {
            Ok(query) => {
                let pairs = pairs.into_iter().collect::<Option<Vec<_>>>().expect("it was taken");
                assert!(pairs.len() <= QUERY_PAIRS_MAX);
                for (key, value) in &pairs {
                    assert_eq!(query.value(key), Some(value.as_str()), "{key}");
                }
                assert_eq!(query.0.len(), pairs.len());
            }
            Err(TargetError::TooManyPairs) => assert!(pairs.len() > QUERY_PAIRS_MAX),
            Err(TargetError::Duplicate) => {
                // A key is looked up before its value is looked at.
                let keys = raw.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
                    let key = pair.split('=').next().unwrap_or_default();
                    decode_pair(key).map(|(key, _)| key)
                });
                let keys: Vec<_> = keys.collect();
                assert!(keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key)));
            }
            Err(error @ (TargetError::BadEscape | TargetError::NotUtf8)) => {
                assert!(pairs.contains(&None), "{error:?}");
                assert_eq!(error.status(), Status::BAD_REQUEST);
            }
        }
    }
    check_written(bytes);
}

/// One pair, byte by byte; `None` if it is malformed.
fn decode_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decode = |text: &str| {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            decoded.push(match byte {
                b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
                b'+' => b' ',
                byte => byte,
            });
        }
        String::from_utf8(decoded).ok()
    };
    Some((decode(key)?, decode(value)?))
}

/// Any text comes back from a query in which every byte of it is encoded.
fn check_written(bytes: &[u8]) {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let text = String::from_utf8_lossy(bytes);
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (key, value) = text.split_at(middle);
    let raw = format!("&x{}={}&", encode(key), encode(value));
    let query = Query::parse(&raw).expect("one pair of text");
    assert_eq!(query.value(&format!("x{key}")), Some(value));
    let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(percent_decode(&encoded).as_deref(), Ok(bytes));
}

#[test]
fn the_corpus_of_queries_keeps_every_promise() {
    crate::fuzzing::replay("query", fuzz_query);
}
