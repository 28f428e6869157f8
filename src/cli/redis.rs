//! The flags that say where Redis is, and what they come to.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::{Credentials, RedisConfig, RedisUrl};
use crate::limits::{Limits, RECORD_BYTES_BESIDE_PAYLOAD, REDIS_PAYLOAD_BYTES_MIN, parse_seconds};

/// Bytes of a file that holds a password.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;
/// What Redis calls who has no name.
const USER_DEFAULT: &str = "default";
/// Bytes of a prefix.
const PREFIX_BYTES_MAX: usize = 64;

/// Where Redis is, and how it is used.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisArguments {
    /// Redis or Valkey that all servers share their topics through: redis://[user:password@]host[:port][/database]
    #[arg(long, env = "TIDINGS_REDIS", value_name = "URL", hide_env_values = true)]
    redis: Option<Secret>,
    /// File with the password for Redis, so that it need not be in the URL
    #[arg(long, env = "TIDINGS_REDIS_PASSWORD_FILE", value_name = "FILE")]
    redis_password_file: Option<PathBuf>,
    /// What all keys and channels in Redis begin with; servers with another prefix share nothing with these
    #[arg(long, env = "TIDINGS_REDIS_PREFIX", value_name = "TEXT", default_value = "tidings", value_parser = parse_prefix)]
    redis_prefix: String,
    /// Replicas of Redis that must have a message before its publisher is answered
    #[arg(long, env = "TIDINGS_REDIS_WAIT", value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=64))]
    redis_wait: u32,
    /// Time that a publish waits for Redis to come back before it is refused (503); 0: none
    #[arg(long = "redis-publish-wait", env = "TIDINGS_REDIS_PUBLISH_WAIT", value_name = "SECONDS", default_value = "0", value_parser = parse_seconds_or_none)]
    redis_publish_wait_ms: u64,
    /// Silence of Redis, while it owes an answer, after which a connection to it is given up
    #[arg(long = "redis-timeout", env = "TIDINGS_REDIS_TIMEOUT", value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    redis_timeout_ms: u64,
    /// Silence of a topic after which it is compared with Redis
    #[arg(long = "redis-check", env = "TIDINGS_REDIS_CHECK", value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    redis_check_ms: u64,
}

/// Text that may hold a password: it does not show in logs. Any is taken, because clap quotes what it refuses.
#[derive(Clone)]
struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Which setting is wrong, and why.
type Refusal = (&'static str, String);

impl RedisArguments {
    /// The settings that mean nothing without `--redis`.
    pub(super) const OTHERS: [&str; 6] = [
        "redis-password-file",
        "redis-prefix",
        "redis-wait",
        "redis-publish-wait",
        "redis-timeout",
        "redis-check",
    ];

    /// What they come to; nothing without `--redis`. Reads the password's file.
    ///
    /// # Errors
    /// The setting that is wrong, and what to do.
    pub(super) fn settle(&self, limits: &Limits) -> Result<Option<RedisConfig>, Refusal> {
        let Some(Secret(text)) = &self.redis else { return Ok(None) };
        let url = RedisUrl::parse(text)
            .map_err(|error| ("redis", format!("something is wrong with {error}")))?;
        let credentials = self.credentials(&url)?;
        let RedisUrl { topology, database, .. } = url;
        Ok(Some(RedisConfig {
            topology,
            credentials,
            database,
            prefix: self.redis_prefix.clone(),
            wait_replicas: self.redis_wait,
            publish_wait_ms: self.redis_publish_wait_ms,
            timeout_ms: self.redis_timeout_ms,
            check_ms: self.redis_check_ms,
            idempotency_window_ms: limits.idempotency_window_ms,
            topic_idle_ms: limits.topic_idle_ms,
            value_bytes_max: payload_bytes_max(limits).saturating_add(RECORD_BYTES_BESIDE_PAYLOAD),
        }))
    }

    fn credentials(&self, url: &RedisUrl) -> Result<Option<Credentials>, Refusal> {
        let password = match (&url.password, &self.redis_password_file) {
            (Some(_), Some(_)) => {
                let text = "the URL of --redis has a password too: leave one of them out";
                return Err(("redis-password-file", text.to_owned()));
            }
            (Some(password), None) => Some(password.clone()),
            (None, Some(path)) => {
                Some(read_password(path).map_err(|error| ("redis-password-file", error))?)
            }
            (None, None) => None,
        };
        match (password, &url.user) {
            (Some(password), user) => {
                let user = user.clone().unwrap_or_else(|| USER_DEFAULT.to_owned());
                Ok(Some(Credentials { user, password }))
            }
            (None, Some(_)) => {
                let text = "there is a user and no password: write user:password@ (:password@ without a user), or \
                            give --redis-password-file";
                Err(("redis", text.to_owned()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Bytes of the largest payload that may come from Redis.
pub(super) fn payload_bytes_max(limits: &Limits) -> usize {
    let own = limits.body_bytes_max.max(limits.websocket_message_bytes_max);
    own.max(REDIS_PAYLOAD_BYTES_MIN)
}

/// What stands in a file, without the end of its line. Nothing of it is ever quoted.
fn read_password(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PASSWORD_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > PASSWORD_FILE_BYTES_MAX {
        return Err(format!(
            "{shown} has more than {PASSWORD_FILE_BYTES_MAX} bytes: it is to hold the password alone"
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    let password = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if password.is_empty() || password.contains(['\n', '\r']) {
        return Err(format!("{shown} is to hold the password on its only line"));
    }
    Ok(password.to_owned())
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    let is_prefix = (1..=PREFIX_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part);
    is_prefix
        .then(|| text.to_owned())
        .ok_or_else(|| "give 1 to 64 of the characters A-Z a-z 0-9 . _ : / -".to_owned())
}

/// As [`parse_seconds`], or 0.
fn parse_seconds_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { parse_seconds(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_a_key_may_begin_with_in_any_cluster() {
        for good in ["tidings", "a", "eu-west.1/tidings:2_", &"x".repeat(64)] {
            assert_eq!(parse_prefix(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "{a}", "é", "a\n", "a*", &"x".repeat(65)] {
            assert!(parse_prefix(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_time_at_all_is_a_time_too() {
        assert_eq!((parse_seconds_or_none("0"), parse_seconds_or_none("0.5")), (Ok(0), Ok(500)));
        assert!(parse_seconds_or_none("-1").is_err());
    }
}
