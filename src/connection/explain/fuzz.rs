//! What holds for an explanation, whatever is to be explained.

use serde_json::Value;

use super::{State, explanation};
use crate::config::{Config, Entrance, Origins};
use crate::problem_kind::ProblemKind;
use crate::topic::{Epoch, Glimpse, Reach, TopicName};

/// For fuzzing: explains `bytes` as a request.
///
/// # Panics
/// If the answer is no JSON object, says no status of ours, or a problem that is none of ours.
pub fn fuzz_explain(bytes: &[u8]) {
    let listed = Origins::Listed(vec!["https://example.org".to_owned()]);
    for (origins, memory_left, draining) in
        [(Origins::Own, u64::MAX, false), (Origins::Any, 0, true), (listed, 10, false)]
    {
        let config = Config { origins, connections_max: 10, workers: 1, ..Config::default() };
        let entrance = Entrance::Public { loopback: draining };
        let waiting = memory_left == 10;
        let state = State { config: &config, memory_left, draining, waiting, entrance };
        let text = explanation(bytes, state, glimpse);
        let value: Value = serde_json::from_slice(&text).expect("valid JSON");
        let answer = &value["answer"];
        let status = answer["status"].as_u64().expect("a status");
        match answer["problem"]["type"].as_str() {
            None => assert!([101, 200, 201, 204].contains(&status), "{value}"),
            Some(kind) => {
                let slug = kind.strip_prefix("/errors#").expect("a type of ours");
                let kind = ProblemKind::from_slug(slug).expect("a kind of ours");
                assert_eq!(u64::from(kind.status_code()), status, "{value}");
            }
        }
        let topics = value["topics"].as_array().map_or(0, Vec::len);
        assert!(topics <= usize::from(config.limits.topics_per_connection), "{value}");
        for topic in value["topics"].as_array().into_iter().flatten() {
            let number = |name: &str| topic[name].as_u64().unwrap_or_default();
            assert!(number("behind") <= number("next").saturating_sub(number("first")), "{value}");
        }
        assert_eq!(value["request"].is_null(), value["limits"].is_null(), "{value}");
    }
}

/// A state for each topic: by its name, so that it is the same again.
fn glimpse(topic: &TopicName) -> Glimpse {
    let reach = |epoch, next_seq| Reach { epoch: Epoch::from_random(epoch), next_seq };
    match topic.as_str().len() % 4 {
        0 => Glimpse::Unused,
        3 => Glimpse::Elsewhere,
        1 => Glimpse::There { reach: reach(1, 1), first_seq: 1 },
        _ => Glimpse::There { reach: reach(2, 43), first_seq: 10 },
    }
}
