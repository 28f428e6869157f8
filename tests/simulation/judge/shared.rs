//! What of the shadow is different when servers share a Redis: it has the ledger, and need not guess.
//!
//! A life is a branch of the ledger then. An epoch that begins on one leads on, and whoever is on a branch that
//! Redis has lost must be told of a gap.

use std::cell::RefCell;
use std::rc::Rc;

use tidings::config::Config;

use super::ledger::{self, Ledger, Place, Retention};
use super::position::Position;
use super::shadow::{PublishId, Shadow};
use crate::topics::name;

/// The ledger of servers that are set up so, if they share a Redis.
pub(super) fn ledger(config: &Config) -> Option<ledger::Shared> {
    let redis = config.redis.as_ref()?;
    let retention = Retention {
        messages: config.limits.log_messages.into(),
        bytes: config.limits.log_bytes,
        age_ms: config.limits.log_age_ms,
        window_ms: redis.idempotency_window_ms,
    };
    Some(Rc::new(RefCell::new(Ledger::new(retention))))
}

impl Shadow {
    /// Whether servers share a Redis.
    pub(super) fn is_shared(&self) -> bool {
        self.ledger.is_some()
    }

    /// Where a position is: of all its names the one that is always the same.
    pub(super) fn stand(&mut self, topic: usize, position: &Position) -> Place {
        match &self.ledger {
            Some(ledger) => ledger.borrow().find(name(topic), position),
            None => (self.life(topic, position), position.sequence),
        }
    }

    /// Whether one place is another or comes after it, by `count` messages.
    pub(super) fn leads(&self, topic: usize, place: Place, count: u64, later: Place) -> bool {
        let is_on_way = match &self.ledger {
            Some(ledger) => ledger.borrow().leads(name(topic), place, later),
            None => place.0 == later.0,
        };
        is_on_way && later.1 == place.1 + count
    }

    /// A message was seen at a place: that is where Redis has put it.
    pub(super) fn place_shared(&mut self, id: PublishId, position: &Position) -> usize {
        let topic = self.publishes[id.0].topic;
        let place = self.stand(topic, position);
        let number = self.ledger.as_ref().and_then(|it| it.borrow().number_at(name(topic), place));
        assert!(
            number == Some(id.0),
            "{} is said to be {position:?}, but that is {number:?}",
            self.say(id)
        );
        let places = &mut self.publishes[id.0].places;
        if !places.contains(&place) {
            places.push(place);
        }
        place.0
    }

    /// Who was at `left` is told that nobody knows how many messages are missing, and goes on behind `place`: what
    /// he had is on no way there, nothing comes again, and what is missing is gone.
    pub(super) fn check_landing(
        &self,
        topic: usize,
        left: Option<Place>,
        place: Place,
        what: &str,
    ) {
        let Some(ledger) = &self.ledger else { return };
        let (ledger, name) = (ledger.borrow(), name(topic));
        let common = left.and_then(|left| ledger.common(name, left, place));
        let leads_on = |later| left.is_some_and(|left| ledger.leads(name, left, later));
        // Redis may have gone back to what it had, and the server not know it yet.
        let is_way_on = |head: &Place| ledger.leads(name, place, *head);
        let is_there = leads_on(place) || ledger.head(name).filter(is_way_on).is_some_and(leads_on);
        let has_old_name = left.is_some_and(|left| ledger.may_be_unknown(name, left));
        assert!(
            !is_there || has_old_name,
            "{what} is told that what it has of topic {topic} is lost, but {left:?} leads to {place:?}, or to \
             what Redis has: {:?}",
            ledger.head(name)
        );
        if let Some(common) = common {
            assert!(
                place.1 >= common.1,
                "{what} is led back in topic {topic}: it had {common:?}, and goes on behind {place:?}"
            );
        }
        let is_covered = common == Some(place) || ledger.may_be_gone(name, place);
        assert!(is_covered, "{what}: {place:?} of topic {topic} is passed over, and retained");
    }

    /// The message that Redis has last, if there is one.
    pub(super) fn last_of_redis(&self, topic: usize) -> Option<PublishId> {
        let ledger = self.ledger.as_ref()?.borrow();
        let place = ledger.head(name(topic))?;
        ledger.number_at(name(topic), place).map(PublishId)
    }
}
