//! Which Redis servers carry the topics, as plain values.

mod url;

pub use self::url::{RedisUrl, RedisUrlError};

use std::fmt;

/// One server that may be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// How the server that takes writes is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// It is the first of these that answers; or one of these is part of a cluster, which says where the others are.
    Servers(Vec<Endpoint>),
    /// These sentinels know which it is.
    Sentinels {
        /// At least one.
        sentinels: Vec<Endpoint>,
        /// What they call the group of servers.
        service: String,
    },
}

impl fmt::Display for Topology {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |endpoints: &[Endpoint]| {
            endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Servers(servers) => formatter.write_str(&list(servers)),
            Self::Sentinels { sentinels, service } => {
                write!(formatter, "{service} of the sentinels {}", list(sentinels))
            }
        }
    }
}

/// What a connection to Redis says of itself. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Redis's own name for who has none is `default`.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({}:…)", self.user)
    }
}

/// Everything about the backplane that the operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub topology: Topology,
    /// Who we are.
    pub credentials: Option<Credentials>,
    /// Which of its databases; 0 in a cluster.
    pub database: u32,
    /// What all keys and channels begin with: 1 to 64 of `A-Za-z0-9._:/-`.
    pub prefix: String,
    /// Replicas that must have a message before its publisher is answered.
    pub wait_replicas: u32,
    /// Milliseconds that a publish waits for Redis to come back; 0: it does not.
    pub publish_wait_ms: u64,
    /// Milliseconds without a sign of life, while an answer is owed, after which a connection is given up.
    pub timeout_ms: u64,
    /// Milliseconds after which a topic that has heard nothing is looked at again, at most.
    pub check_ms: u64,
    /// Milliseconds in which a repeated idempotency key is recognised.
    pub idempotency_window_ms: u64,
    /// Milliseconds after which a topic without messages and subscribers is forgotten.
    pub topic_idle_ms: u64,
    /// Bytes of one value in an answer, at most: a message that may be published, and what surrounds it.
    pub value_bytes_max: usize,
}
