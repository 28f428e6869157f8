//! Settings that are read again while the server runs: what changed, what needs a restart, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use log::{error, info, warn};

use super::table::{Key, Table};
use super::topics::TopicEntry;
use super::{Complaints, Invocation, Setting, Settings};
use crate::cli::redis::payload_bytes_max;
use crate::cli::serve::configure;
use crate::config::Config;

/// Settings that are used when the server starts, and never again. All others are looked up when they are
/// needed.
const NEED_A_RESTART: [&str; 12] = [
    "listen",
    "admin-listen",
    "workers",
    "notsent-bytes",
    "user-timeout",
    "redis",
    "redis-password-file",
    "redis-prefix",
    "redis-wait",
    "redis-publish-wait",
    "redis-timeout",
    "redis-check",
];

/// What runs now, and how to change it.
pub(crate) struct Reloader<A> {
    invocation: Invocation,
    settings: Settings,
    config: Config,
    descriptors: u64,
    apply: A,
}

/// One setting before and after, as text.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    key: String,
    from: String,
    to: String,
}

impl<A: Fn(Config)> Reloader<A> {
    /// `settings` have become `config`; `apply` gives the workers another one.
    pub(crate) fn new(
        invocation: Invocation,
        settings: Settings,
        config: Config,
        descriptors: u64,
        apply: A,
    ) -> Self {
        Self { invocation, settings, config, descriptors, apply }
    }

    /// How long a drain may take, as things are now.
    pub(crate) fn drain_max_ms(&self) -> u64 {
        self.config.limits.drain_max_ms
    }

    /// Reads everything again. What can change does, and the log says what; if anything is wrong, nothing does,
    /// and the log says why.
    pub(crate) fn reload(&mut self) {
        let (settings, config) = match self.load() {
            Ok(loaded) => loaded,
            Err(complaints) => {
                complaints.iter().for_each(|complaint| error!("reload: {complaint}"));
                error!("reload: nothing is changed, going on as before");
                return;
            }
        };
        let place = settings.place();
        let (changed, waiting): (Vec<_>, Vec<_>) =
            changes(&self.settings.settings, &settings.settings)
                .into_iter()
                .partition(|change| !NEED_A_RESTART.contains(&change.key.as_str()));
        let topics = topic_changes(&self.settings.topic_entries, &settings.topic_entries);
        let count = changed.len() + topics.len();
        for Change { key, from, to } in changed.iter().chain(&topics) {
            info!("reload: {key}: {from} -> {to}");
        }
        for Change { key, from, to } in &waiting {
            warn!("reload: {key}: {from} -> {to} needs a restart; going on with the former");
        }
        self.keep(settings);
        self.config = config;
        (self.apply)(self.config.clone());
        info!("reload: {count} changed, {} need a restart; settings {place}", waiting.len(),);
    }

    fn load(&self) -> Result<(Settings, Config), Complaints> {
        let settings = self.invocation.load()?;
        let new = configure(&settings, self.descriptors).map_err(|error| vec![error])?;
        let origins = self.config.origins.succeeded_by(new.origins.clone());
        let Config { workers, has_admin, .. } = self.config;
        let redis = self.config.redis.clone();
        let (old, new_max) = (&self.config.limits, payload_bytes_max(&new.limits));
        if redis.is_some() && new_max > payload_bytes_max(old) {
            // Connections to Redis have their bounds from when they began.
            return Err(vec![format!(
                "with --redis, messages of more than {} bytes need a restart ({})",
                payload_bytes_max(old),
                settings.places(&["body-bytes-max", "websocket-message-bytes-max"])
            )]);
        }
        Ok((settings, Config { origins, workers, has_admin, redis, ..new }))
    }

    /// Remembers the settings as they are in force: what needs a restart is said each time.
    fn keep(&mut self, mut settings: Settings) {
        for setting in &mut settings.settings {
            let former = self.settings.settings.iter().find(|former| former.key == setting.key);
            if let Some(former) = former
                && NEED_A_RESTART.contains(&setting.key.as_str())
            {
                *setting = former.clone();
            }
        }
        self.settings = settings;
    }
}

/// What is not as it was.
fn changes(old: &[Setting], new: &[Setting]) -> Vec<Change> {
    let differ = |(old, new): &(&Setting, &Setting)| old.values != new.values;
    old.iter().zip(new).filter(differ).map(|(old, new)| change(&new.key, old, new)).collect()
}

fn change(key: &str, old: &Setting, new: &Setting) -> Change {
    let is_secret = Table::of_server().key(key).is_some_and(Key::is_secret);
    let text = |setting: &Setting| {
        let values = setting.values.join(", ");
        let is_hidden = is_secret && !values.is_empty();
        let values = if is_hidden { "not shown".to_owned() } else { values };
        let values = if values.is_empty() { "not set" } else { &values };
        format!("{values} ({})", setting.source)
    };
    Change { key: key.to_owned(), from: text(old), to: text(new) }
}

/// Which `[[topic]]` are not as they were, wherever they stand.
fn topic_changes(old: &[TopicEntry], new: &[TopicEntry]) -> Vec<Change> {
    let (old, new) = (by_scope(old), by_scope(new));
    let scopes: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |scope: &String| Change {
        key: scope.clone(),
        from: old.get(scope).map_or("no rule", String::as_str).to_owned(),
        to: new.get(scope).map_or("no rule", String::as_str).to_owned(),
    };
    scopes.into_iter().map(change).filter(|change| change.from != change.to).collect()
}

/// What each `[[topic]]` says, by what it is for.
fn by_scope(topics: &[TopicEntry]) -> BTreeMap<String, String> {
    let one = |topic: &TopicEntry| {
        let mut entries: Vec<_> = topic.entries.iter().collect();
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        let text = |is_scope: bool| {
            let chosen = entries
                .iter()
                .filter(|entry| ["name", "prefix"].contains(&entry.key.as_str()) == is_scope);
            let text = chosen.map(|entry| format!("{} = {:?}", entry.key, entry.values.join(", ")));
            text.collect::<Vec<_>>().join(", ")
        };
        (format!("[[topic]] {}", text(true)), text(false))
    };
    topics.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Source;
    use super::super::file::read;
    use super::*;

    fn topics(text: &str) -> Vec<TopicEntry> {
        read(Path::new("t"), text, &mut Complaints::new()).topics
    }

    #[test]
    fn a_change_says_both_values_and_who_said_so() {
        let old =
            Setting { key: "log-age".into(), values: vec!["5".into()], source: Source::Default };
        let new = Setting {
            values: vec!["6".into()],
            source: Source::File("t.toml".into(), 3),
            ..old.clone()
        };
        let moved = Setting { source: Source::Flag, ..old.clone() };
        assert_eq!(
            changes(std::slice::from_ref(&old), &[moved]),
            [],
            "the same value from elsewhere"
        );
        let expected = Change {
            key: "log-age".to_owned(),
            from: "5 (default)".to_owned(),
            to: "6 (t.toml:3)".to_owned(),
        };
        assert_eq!(changes(&[old], &[new]), [expected]);
    }

    #[test]
    fn topics_are_compared_wherever_they_stand() {
        let old = topics("[[topic]]\nname = 'a'\nlog-age = 1\n[[topic]]\nprefix = 'b'\n");
        let same = topics("[[topic]]\nprefix = 'b'\n\n[[topic]]\nlog-age = 1\nname = 'a'\n");
        assert_eq!(topic_changes(&old, &same), []);
        let new = topics("[[topic]]\nname = 'a'\nlog-age = 2\n[[topic]]\nname = 'b'\n");
        let changes = topic_changes(&old, &new);
        let change = |key: &str, from: &str, to: &str| Change {
            key: key.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
        };
        assert_eq!(
            changes,
            [
                change("[[topic]] name = \"a\"", "log-age = \"1\"", "log-age = \"2\""),
                change("[[topic]] name = \"b\"", "no rule", ""),
                change("[[topic]] prefix = \"b\"", "", "no rule"),
            ]
        );
    }
}
