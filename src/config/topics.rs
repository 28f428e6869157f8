//! What the operator chose for some topics, by their name or by how it begins.
//!
//! One rule holds for a topic, or none: that with exactly its name, else that with the longest prefix of it.
//! What the rule does not say, the server's own limits do; a shorter prefix is not asked. Names are compared as
//! bytes.

use std::collections::{BTreeSet, HashMap};

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

/// Which rule holds for a topic: an index, good for one [`TopicRules`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleId(u16);

impl RuleId {
    /// Where it stands in [`TopicRules::all`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl TopicRule {
    /// A rule that changes nothing.
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            log_messages: None,
            log_bytes: None,
            log_age_ms: None,
            message_bytes_max: None,
            publish: None,
        }
    }
}

/// All rules.
#[derive(Clone, Debug)]
pub struct TopicRules {
    /// The first changes nothing: it is for topics that no rule is for. At most 65,536.
    all: Vec<TopicRule>,
    names: HashMap<String, RuleId>,
    prefixes: HashMap<String, RuleId>,
    /// Lengths of the prefixes: how many times a name is looked up at most.
    prefix_lengths: BTreeSet<usize>,
    /// Whether a rule refuses messages.
    restricts: bool,
}

impl Default for TopicRules {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl TopicRules {
    /// How many rules there may be.
    pub const MAX: usize = 10_000;

    /// At most [`Self::MAX`] rules with different scopes.
    pub fn new(rules: Vec<TopicRule>) -> Self {
        let mut found = Self {
            all: vec![TopicRule::new(Scope::Prefix(String::new()))],
            names: HashMap::new(),
            prefixes: HashMap::new(),
            prefix_lengths: BTreeSet::new(),
            restricts: false,
        };
        for rule in rules {
            let id = RuleId(u16::try_from(found.all.len()).expect("rules are counted"));
            match &rule.scope {
                Scope::Name(name) => found.names.insert(name.clone(), id),
                Scope::Prefix(prefix) => {
                    found.prefix_lengths.insert(prefix.len());
                    found.prefixes.insert(prefix.clone(), id)
                }
            };
            found.restricts |= rule.message_bytes_max.is_some()
                || rule.publish.is_some_and(|who| who == Publishers::Nobody);
            found.all.push(rule);
        }
        found
    }

    /// Every rule; a [`RuleId`] is an index of it.
    pub fn all(&self) -> &[TopicRule] {
        &self.all
    }

    /// Which rule holds for the topic with that name.
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

    /// The rule that says what may be published to the topic with that name, and by whom. Nothing is looked up
    /// where no rule refuses anything.
    pub fn admission(&self, name: &str) -> &TopicRule {
        let id = if self.restricts { self.find(name) } else { RuleId::default() };
        &self.all[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scope: Scope, messages: u32) -> TopicRule {
        TopicRule { log_messages: Some(messages), ..TopicRule::new(scope) }
    }

    fn rules() -> TopicRules {
        TopicRules::new(vec![
            rule(Scope::Name("chat/lobby".to_owned()), 1),
            rule(Scope::Prefix("chat/".to_owned()), 2),
            rule(Scope::Prefix("chat/lo".to_owned()), 3),
            rule(Scope::Prefix("é".to_owned()), 4),
        ])
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
            ("chat", 0),
            ("Chat/lobby", 0),
            ("élan", 4),
            // The same character in two parts (U+0065 U+0301) is another name, as bytes are compared.
            ("e\u{301}lan", 0),
            // Its second byte is in the middle of a character.
            ("êlan", 0),
        ] {
            let found = rules.all()[rules.find(name).index()].log_messages;
            assert_eq!(found.unwrap_or_default(), messages, "{name}");
        }
    }

    #[test]
    fn an_empty_prefix_is_for_every_topic() {
        let mut all = rule(Scope::Prefix(String::new()), 7);
        all.publish = Some(Publishers::Nobody);
        let rules = TopicRules::new(vec![all]);
        assert_eq!(rules.admission("x").publish, Some(Publishers::Nobody));
        assert_eq!(rules.all()[rules.find("x").index()].log_messages, Some(7));
    }
}
