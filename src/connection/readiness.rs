//! Whether the server is fit for clients, as `/readyz` says it.

use super::problem::Problem;
use crate::problem_kind::ProblemKind;
use crate::time::Instant;

/// What a worker knows of the server that the topics are sequenced at, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// All is well, or nothing is needed.
    #[default]
    Ready,
    /// It was never reached: nobody can be told anything of any topic.
    Waiting,
    /// It was reached, and is away.
    Degraded {
        /// Since when.
        since: Instant,
        /// Why, in a line that may name machines.
        why: String,
    },
}

/// [`Readiness::Waiting`].
pub(super) const WAITING: Problem = Problem::new(
    ProblemKind::RedisAway,
    "Redis, which carries the topics between the servers (--redis), has not been reached since this server began: it takes clients as soon as it is. The log says why it is not.",
);

impl Readiness {
    /// The body of `/readyz` where it is no problem. Only an operator is told why.
    pub(super) fn text(&self, now: Instant, is_operator: bool) -> String {
        match self {
            Self::Ready | Self::Waiting => "ready\n".to_owned(),
            Self::Degraded { since, why } => {
                let seconds = now.since(*since) / 1_000;
                let why = if is_operator { format!(": {why}") } else { String::new() };
                format!("ready\ndegraded: without Redis for {seconds} s{why}\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_operator_is_told_why_redis_is_away() {
        let since = Instant::from_ms(1_000);
        let degraded = Readiness::Degraded { since, why: "10.0.0.7:6379: refused".to_owned() };
        let now = Instant::from_ms(13_999);
        let told = "ready\ndegraded: without Redis for 12 s: 10.0.0.7:6379: refused\n";
        assert_eq!(degraded.text(now, true), told);
        assert_eq!(degraded.text(now, false), "ready\ndegraded: without Redis for 12 s\n");
        assert_eq!(Readiness::Ready.text(now, true), "ready\n");
    }
}
