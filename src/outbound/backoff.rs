//! How long to leave a peer alone after it has failed.

use fastrand::Rng;

use crate::time::Instant;

/// The first pause, at most. It doubles.
const FIRST_MS: u64 = 100;
/// A pause, at most.
const MOST_MS: u64 = 5_000;
/// A connection that lasted so long was a good one: what follows begins anew.
const GOOD_MS: u64 = 5_000;
/// The pause after what will not mend by itself: an operator has to do something.
const LASTING_MS: std::ops::RangeInclusive<u64> = 5_000..=30_000;

/// Pauses that double, each drawn between nothing and all of it ("full jitter"): a thousand servers whose Redis comes
/// back do not arrive together.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether nothing has ever failed.
    pub(super) const fn is_fresh(self) -> bool {
        self.failures == 0
    }

    /// When to try again. `ready` is since when the connection that failed was of use, if it was.
    pub(super) fn after_failure(
        &mut self,
        now: Instant,
        ready: Option<Instant>,
        is_lasting: bool,
        random: &mut Rng,
    ) -> Instant {
        if ready.is_some_and(|since| now.since(since) >= GOOD_MS) {
            self.failures = 0;
        }
        let most = (FIRST_MS << self.failures.min(16)).min(MOST_MS);
        self.failures = self.failures.saturating_add(1);
        now + random.u64(if is_lasting { LASTING_MS } else { 0..=most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_a_good_connection() {
        let (mut random, now) = (Rng::with_seed(1), Instant::from_ms(100_000));
        let mut longest = [0; 12];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for most in &mut longest {
                let until = backoff.after_failure(now, Some(now - 100), false, &mut random);
                *most = u64::max(*most, until.since(now));
            }
            let until = backoff.after_failure(now, Some(now - GOOD_MS), false, &mut random);
            assert!(until.since(now) <= FIRST_MS);
        }
        for (index, longest) in longest.into_iter().enumerate() {
            let most = (FIRST_MS << index).min(MOST_MS);
            assert!(longest <= most && longest > most / 2, "{longest} of {most}");
        }
    }

    #[test]
    fn what_does_not_mend_by_itself_is_left_alone_for_longer() {
        let (mut random, now) = (Rng::with_seed(1), Instant::from_ms(1_000));
        for _ in 0..100 {
            let until = Backoff::default().after_failure(now, None, true, &mut random);
            assert!(LASTING_MS.contains(&until.since(now)));
        }
    }
}
