//! What the operator chose for some topics, by their name or by how it begins.
//!
//! One rule holds for a topic, or none: that with exactly its name, else that with the longest prefix of it.
//! What the rule does not say, the server's own limits do; a shorter prefix is not asked. Names are compared as
//! bytes.

use std::collections::{BTreeSet, HashMap};

use crate::limits::Limits;

/// What is different for some topics.
#[derive(Clone, Debug)]
pub struct TopicRule {
    /// For which.
    pub scope: Scope,
    /// Messages retained.
    pub log_messages: Option<u32>,
    /// Bytes retained.
    pub log_bytes: Option<usize>,
    /// Milliseconds for which a message is retained.
    pub log_age_ms: Option<u64>,
    /// Bytes of a message's payload.
    pub message_bytes_max: Option<usize>,
    /// Who may publish and delete.
    pub publish: Option<Publishers>,
}

/// Which topics a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// That with exactly this name.
    Name(String),
    /// Those whose names begin with this; empty for all.
    Prefix(String),
}

/// Who may publish to a topic, and delete it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Publishers {
    /// Whoever reaches the server.
    #[default]
    Anyone,
    /// No client.
    Nobody,
}

/// What holds for a topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Messages retained, at least 1.
    pub log_messages: usize,
    /// Bytes retained.
    pub log_bytes: usize,
    /// Milliseconds for which a message is retained.
    pub log_age_ms: u64,
    /// Bytes of a message's payload.
    pub message_bytes_max: usize,
    /// Who may publish and delete.
    pub publish: Publishers,
}

/// Which settings hold for a topic: an index, good for one [`TopicRules`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleId(u16);

impl RuleId {
    /// Where it stands in [`TopicRules::all`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// All rules, with what the server's limits add to each.
#[derive(Clone, Debug)]
pub struct TopicRules {
    /// The first is for topics that no rule is for. At most 65,536.
    all: Vec<TopicSettings>,
    names: HashMap<String, RuleId>,
    prefixes: HashMap<String, RuleId>,
    /// Lengths of the prefixes: how many times a name is looked up at most.
    prefix_lengths: BTreeSet<usize>,
    /// Whether a rule refuses what the server's limits do not.
    restricts: bool,
}

impl Default for TopicRules {
    fn default() -> Self {
        Self::new(&[], &Limits::default())
    }
}

impl TopicRules {
    /// How many rules there may be.
    pub const MAX: usize = 10_000;

    /// Settles at most [`Self::MAX`] rules with different scopes.
    pub fn new(rules: &[TopicRule], limits: &Limits) -> Self {
        let server = TopicSettings {
            log_messages: limits.log_messages as usize,
            log_bytes: limits.log_bytes,
            log_age_ms: limits.log_age_ms,
            message_bytes_max: limits.body_bytes_max,
            publish: Publishers::Anyone,
        };
        let mut settled = Self {
            all: vec![server],
            names: HashMap::new(),
            prefixes: HashMap::new(),
            prefix_lengths: BTreeSet::new(),
            restricts: false,
        };
        for rule in rules {
            let id = RuleId(u16::try_from(settled.all.len()).expect("rules are counted"));
            match &rule.scope {
                Scope::Name(name) => settled.names.insert(name.clone(), id),
                Scope::Prefix(prefix) => {
                    settled.prefix_lengths.insert(prefix.len());
                    settled.prefixes.insert(prefix.clone(), id)
                }
            };
            let settings = TopicSettings {
                log_messages: rule.log_messages.map_or(server.log_messages, |count| count as usize),
                log_bytes: rule.log_bytes.unwrap_or(server.log_bytes),
                log_age_ms: rule.log_age_ms.unwrap_or(server.log_age_ms),
                message_bytes_max: rule.message_bytes_max.unwrap_or(server.message_bytes_max),
                publish: rule.publish.unwrap_or_default(),
            };
            settled.restricts |= settings.publish == Publishers::Nobody
                || settings.message_bytes_max < server.message_bytes_max;
            settled.all.push(settings);
        }
        settled
    }

    /// Every settings there are; a [`RuleId`] is an index of it.
    pub fn all(&self) -> &[TopicSettings] {
        &self.all
    }

    /// Which settings hold for the topic with that name.
    pub fn find(&self, name: &str) -> RuleId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        for &length in self.prefix_lengths.iter().rev() {
            // A prefix that ends within a character of this name is none of it.
            let Some(prefix) = name.get(..length) else { continue };
            if let Some(&id) = self.prefixes.get(prefix) {
                return id;
            }
        }
        RuleId::default()
    }

    /// What may be published to the topic with that name, and by whom. Nothing is looked up where no rule
    /// refuses anything.
    pub fn admission(&self, name: &str) -> &TopicSettings {
        let id = if self.restricts { self.find(name) } else { RuleId::default() };
        &self.all[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scope: Scope, messages: u32) -> TopicRule {
        TopicRule {
            scope,
            log_messages: Some(messages),
            log_bytes: None,
            log_age_ms: None,
            message_bytes_max: None,
            publish: None,
        }
    }

    fn rules() -> TopicRules {
        let rules = [
            rule(Scope::Name("chat/lobby".to_owned()), 1),
            rule(Scope::Prefix("chat/".to_owned()), 2),
            rule(Scope::Prefix("chat/lo".to_owned()), 3),
            rule(Scope::Prefix("é".to_owned()), 4),
        ];
        TopicRules::new(&rules, &Limits::default())
    }

    #[test]
    fn an_exact_name_goes_before_the_longest_prefix() {
        let rules = rules();
        for (name, messages) in [
            ("chat/lobby", 1),
            ("chat/lobby2", 3),
            ("chat/lo", 3),
            ("chat/l", 2),
            ("chat/", 2),
            ("chat", 1_000),
            ("Chat/lobby", 1_000),
            ("élan", 4),
            // The same character in two parts (U+0065 U+0301) is another name, as bytes are compared.
            ("e\u{301}lan", 1_000),
            // Its second byte is in the middle of a character.
            ("êlan", 1_000),
        ] {
            assert_eq!(rules.all()[rules.find(name).index()].log_messages, messages, "{name}");
        }
    }

    #[test]
    fn what_a_rule_does_not_say_the_server_does() {
        let limits = Limits::default();
        let settings = rules().all()[1];
        assert_eq!(settings.log_bytes, limits.log_bytes);
        assert_eq!(settings.message_bytes_max, limits.body_bytes_max);
        assert_eq!(settings.publish, Publishers::Anyone);
    }

    #[test]
    fn an_empty_prefix_is_for_every_topic() {
        let mut all = rule(Scope::Prefix(String::new()), 7);
        all.publish = Some(Publishers::Nobody);
        let rules = TopicRules::new(&[all], &Limits::default());
        assert_eq!(rules.admission("x").publish, Publishers::Nobody);
        assert_eq!(rules.all()[rules.find("x").index()].log_messages, 7);
    }
}
