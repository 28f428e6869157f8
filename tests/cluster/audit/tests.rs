//! Invented histories: each kind of mistake is found, and what is allowed is not one.

use super::*;
use crate::history::{Acknowledged, Event, History, Position};

fn id(text: &str) -> Position {
    Position::parse(text).unwrap()
}

/// Messages `first..=last` of an epoch, each with a payload of its own.
fn messages(epoch: &str, first: u64, last: u64) -> Vec<Event> {
    let id = |sequence| Position { epoch: epoch.to_owned(), sequence };
    let message = |n| Event::Message { payload: format!("{epoch}{n}"), id: Some(id(n)) };
    (first..=last).map(message).collect()
}

fn message(payload: &str, at: &str) -> Vec<Event> {
    vec![Event::Message { payload: payload.to_owned(), id: Some(id(at)) }]
}

fn gap(count: impl Into<Option<u64>>) -> Vec<Event> {
    vec![Event::Gap { count: count.into(), until: None }]
}

fn gap_until(count: impl Into<Option<u64>>, until: &str) -> Vec<Event> {
    vec![Event::Gap { count: count.into(), until: Some(id(until)) }]
}

/// A run in which these epochs, each up to its last message, were acknowledged, and these were received.
fn run(acknowledged: &[(&str, u64, u64)], received: &[Vec<Event>]) -> Record {
    let mut record = Record::default();
    for &(epoch, first, last) in acknowledged {
        for event in messages(epoch, first, last) {
            if let Event::Message { payload, id: Some(id) } = event {
                record.attempted.push(("t".to_owned(), payload.clone()));
                record.acknowledged.push(Acknowledged { topic: "t".to_owned(), payload, id });
            }
        }
    }
    for (number, events) in received.iter().enumerate() {
        record.histories.push(History {
            subscriber: format!("s{number}"),
            topic: "t".to_owned(),
            wanders: false,
            events: events.clone(),
        });
    }
    record
}

fn whole() -> Record {
    run(&[("a", 1, 9)], &[messages("a", 1, 9), messages("a", 1, 9)])
}

#[track_caller]
fn is_fine(record: &Record, rules: Rules) -> Figures {
    audit(record, rules).unwrap_or_else(|complaints| panic!("{complaints:#?}"))
}

/// There is a complaint with this in it.
#[track_caller]
fn complains(record: &Record, rules: Rules, what: &str) {
    let complaints = audit(record, rules).expect_err("a complaint");
    assert!(complaints.iter().any(|one| one.contains(what)), "{what}: {complaints:#?}");
}

#[test]
fn everything_to_everybody_is_fine() {
    let figures = is_fine(&whole(), Rules::STRICT);
    let expected = Figures { acknowledged: 9, delivered: 18, epochs: 1, ..Figures::default() };
    assert_eq!(figures, expected);
}

#[test]
fn a_message_that_was_left_out_is_found() {
    for place in 0..9 {
        let mut record = whole();
        record.histories[1].events.remove(place);
        let what = if place == 8 { "neither delivered nor declared" } else { "and no gap" };
        for rules in [Rules::STRICT, Rules::TRIMMED, Rules::LIVES, Rules::TAILS] {
            complains(&record, rules, what);
        }
    }
}

#[test]
fn a_message_that_came_twice_is_found() {
    for place in 0..9 {
        let mut record = whole();
        let again = record.histories[0].events[place].clone();
        record.histories[0].events.push(again);
        complains(&record, Rules::STRICT, "again");
        // A gap is no excuse.
        let last = record.histories[0].events.len() - 1;
        record.histories[0].events.splice(last..last, gap(None));
        for rules in [Rules::TRIMMED, Rules::LIVES, Rules::TAILS] {
            complains(&record, rules, "again");
        }
    }
}

#[test]
fn messages_that_changed_places_are_found() {
    let mut record = whole();
    record.histories[0].events.swap(3, 4);
    complains(&record, Rules::STRICT, "and no gap");
}

#[test]
fn another_order_for_somebody_is_found() {
    let mut record = whole();
    // The same numbers, with the payloads of two exchanged.
    let swapped = [message("a5", "a-4"), message("a4", "a-5")].concat();
    record.histories[0].events.splice(3..5, swapped);
    complains(&record, Rules::STRICT, "a-4 is \"a5\", for others \"a4\"");
}

#[test]
fn a_payload_under_two_ids_is_found_unless_redis_forgot_the_first() {
    let mut record = whole();
    record.attempted.push(("t".to_owned(), "a9".to_owned()));
    for history in &mut record.histories {
        history.events.extend(message("a9", "a-10"));
    }
    complains(&record, Rules::STRICT, "more than once");
    complains(&record, Rules::TAILS, "more than once");
    let mut record = run(&[("a", 1, 9)], &[messages("a", 1, 8)]);
    record.histories[0].events.extend(message("a9", "b-9"));
    complains(&record, Rules::STRICT, "more than once");
    let figures = is_fine(&record, Rules::TAILS);
    assert_eq!((figures.again, figures.untold, figures.epochs), (1, 1, 2));
}

#[test]
fn what_nobody_published_is_found() {
    let mut record = whole();
    record.histories[0].events.extend(message("b1", "a-10"));
    complains(&record, Rules::STRICT, "nobody published \"b1\"");
}

#[test]
fn what_was_published_elsewhere_is_found() {
    let mut record = whole();
    record.attempted.push(("other".to_owned(), "b1".to_owned()));
    record.histories[0].events.extend(message("b1", "a-10"));
    complains(&record, Rules::STRICT, "nobody published \"b1\"");
}

#[test]
fn numbers_that_nobody_has_seen_are_found() {
    let record =
        run(&[("a", 1, 3), ("a", 5, 9)], &[[messages("a", 1, 3), messages("a", 5, 9)].concat()]);
    complains(&record, Rules::STRICT, "nobody has seen 4 to 4");
    let record = run(&[("a", 2, 9)], &[messages("a", 2, 9)]);
    complains(&record, Rules::STRICT, "the first number is 2");
}

#[test]
fn a_gap_counts_what_it_takes_away() {
    let events = |count: Option<u64>, first| {
        let gap = Event::Gap { count, until: None };
        [messages("a", 1, 3), vec![gap], messages("a", first, 9)].concat()
    };
    let figures = is_fine(&run(&[("a", 1, 9)], &[events(Some(3), 7)]), Rules::TRIMMED);
    assert_eq!((figures.gaps, figures.declared), (1, 3));
    is_fine(&run(&[("a", 1, 9)], &[events(None, 7)]), Rules::TRIMMED);
    complains(&run(&[("a", 1, 9)], &[events(Some(2), 7)]), Rules::TRIMMED, "a gap of 2");
    complains(&run(&[("a", 1, 9)], &[events(Some(4), 7)]), Rules::TRIMMED, "a gap of 4");
    complains(&run(&[("a", 1, 9)], &[events(Some(3), 7)]), Rules::STRICT, "nothing was lost");
}

#[test]
fn a_gap_says_where_it_ends() {
    let events = |count, until, first| {
        [messages("a", 1, 3), gap_until(count, until), messages("a", first, 9)].concat()
    };
    is_fine(&run(&[("a", 1, 9)], &[events(Some(3), "a-6", 7)]), Rules::TRIMMED);
    is_fine(&run(&[("a", 1, 9)], &[events(None, "a-6", 7)]), Rules::TRIMMED);
    let record = run(&[("a", 1, 9)], &[events(Some(3), "a-5", 7)]);
    complains(&record, Rules::TRIMMED, "where 6 would be right");
    let record = run(&[("a", 1, 9)], &[events(None, "a-5", 7)]);
    complains(&record, Rules::TRIMMED, "a-7 behind a-5, and no gap");
    let record = run(&[("a", 1, 9)], &[events(None, "a-2", 3)]);
    complains(&record, Rules::TRIMMED, "leads back");
    let record = run(&[("a", 1, 9)], &[events(Some(0), "a-3", 4)]);
    complains(&record, Rules::TRIMMED, "a gap of no messages");
}

#[test]
fn a_gap_at_the_end_covers_nothing_behind_it() {
    let record = run(&[("a", 1, 9)], &[[messages("a", 1, 3), gap(4)].concat()]);
    complains(&record, Rules::TRIMMED, "neither delivered nor declared");
    let record = run(&[("a", 1, 9)], &[[messages("a", 1, 3), gap_until(6, "a-9")].concat()]);
    is_fine(&record, Rules::TRIMMED);
}

#[test]
fn a_term_that_goes_on_needs_no_gap() {
    let record =
        run(&[("a", 1, 5), ("b", 6, 9)], &[[messages("a", 1, 5), messages("b", 6, 9)].concat()]);
    assert_eq!(is_fine(&record, Rules::STRICT).epochs, 2);
}

#[test]
fn another_life_needs_a_gap() {
    let both = [("a", 1, 5), ("b", 1, 9)];
    let told = [messages("a", 1, 3), gap_until(None, "b-0"), messages("b", 1, 9)].concat();
    assert_eq!(is_fine(&run(&both, &[told]), Rules::LIVES).declared, 2);
    let in_a_poll = [messages("a", 1, 3), gap(None), messages("b", 1, 9)].concat();
    is_fine(&run(&both, &[in_a_poll]), Rules::LIVES);
    let silent = [messages("a", 1, 5), messages("b", 1, 9)].concat();
    complains(&run(&both, &[silent]), Rules::LIVES, "b-1 behind a-5, and no gap");
    // Where its numbers happen to fit, what was acknowledged is missing.
    let fitting = [messages("a", 1, 3), messages("b", 4, 9)].concat();
    let record = run(&[("a", 1, 5), ("b", 4, 9)], &[fitting]);
    complains(&record, Rules::LIVES, "2 acknowledged messages were neither");
}

#[test]
fn who_had_a_lost_tail_is_told_and_who_had_not_cannot_be() {
    let both = [("a", 1, 7), ("b", 5, 9)];
    let had = [messages("a", 1, 6), gap(None), messages("b", 5, 9)].concat();
    let had_and_knows = [messages("a", 1, 6), gap_until(None, "a-4"), messages("b", 5, 9)].concat();
    let had_not = [messages("a", 1, 4), messages("b", 5, 9)].concat();
    let figures = is_fine(&run(&both, &[had, had_not.clone(), had_and_knows]), Rules::TAILS);
    assert_eq!((figures.declared, figures.untold), (1, 4));
    complains(&run(&both, &[had_not]), Rules::LIVES, "neither delivered nor declared");
    let silent = [messages("a", 1, 6), messages("b", 5, 9)].concat();
    complains(&run(&both, &[silent]), Rules::TAILS, "b-5 behind a-6, and no gap");
    let silent = [messages("a", 1, 6), messages("b", 7, 9)].concat();
    complains(&run(&both, &[silent]), Rules::TAILS, "neither delivered nor declared");
}

#[test]
fn who_wanders_between_two_histories_begins_anew_behind_a_gap() {
    let both = [("a", 1, 7), ("b", 5, 9)];
    let ahead = [messages("a", 1, 4), messages("b", 5, 6)].concat();
    let back = [gap(None), messages("a", 1, 7), gap(None), messages("b", 5, 9)].concat();
    let mut record = run(&both, &[[ahead.clone(), back].concat()]);
    complains(&record, Rules::TAILS, "again");
    record.histories[0].wanders = true;
    is_fine(&record, Rules::TAILS);
    complains(&record, Rules::LIVES, "again");
    // Nor is anything left out there, or told twice without a gap.
    let back =
        [gap(None), messages("a", 1, 3), messages("a", 5, 7), gap(None), messages("b", 5, 9)];
    record.histories[0].events = [ahead.clone(), back.concat()].concat();
    complains(&record, Rules::TAILS, "a-5 behind a-3, and no gap");
    let back = [messages("b", 6, 9), messages("a", 1, 7)].concat();
    record.histories[0].events = [ahead, back].concat();
    complains(&record, Rules::TAILS, "again");
}

#[test]
fn epochs_in_different_orders_are_found() {
    let both = [("a", 1, 3), ("b", 1, 3)];
    let one = [messages("a", 1, 3), gap(None), messages("b", 1, 3)].concat();
    let other = [messages("b", 1, 3), gap(None), messages("a", 1, 3)].concat();
    complains(&run(&both, &[one.clone(), other]), Rules::LIVES, "different orders");
    let back = [one, gap(None), message("a4", "a-4")].concat();
    let mut record = run(&both, &[back]);
    record.attempted.push(("t".to_owned(), "a4".to_owned()));
    complains(&record, Rules::LIVES, "different orders");
}

#[test]
fn payloads_without_ids_are_held_against_what_others_say() {
    let raw = |events: Vec<Event>| -> Vec<Event> {
        let strip = |event| match event {
            Event::Message { payload, .. } => Event::Message { payload, id: None },
            other => other,
        };
        events.into_iter().map(strip).collect()
    };
    is_fine(&run(&[("a", 1, 9)], &[raw(messages("a", 1, 9))]), Rules::STRICT);
    let hole = raw([messages("a", 1, 3), messages("a", 5, 9)].concat());
    complains(&run(&[("a", 1, 9)], &[hole]), Rules::STRICT, "a-5 behind a-3, and no gap");
    let anew = [messages("a", 1, 3), vec![Event::Anew], messages("a", 6, 9)].concat();
    is_fine(&run(&[("a", 1, 9)], &[raw(anew.clone())]), Rules::TRIMMED);
    complains(&run(&[("a", 1, 9)], &[raw(anew)]), Rules::STRICT, "nothing was lost");
    // It has asked for what it had.
    let back = [messages("a", 1, 5), vec![Event::Anew], messages("a", 2, 9)].concat();
    is_fine(&run(&[("a", 1, 9)], &[raw(back)]), Rules::TRIMMED);
}

#[test]
fn what_the_clients_saw_of_wrong_is_passed_on() {
    let mut record = whole();
    record.wrongs.push("status 500".to_owned());
    complains(&record, Rules::TAILS, "status 500");
}
