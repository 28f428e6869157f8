//! The load itself, against one server without Redis, where it must find nothing wrong, and against two that share
//! nothing, where it must.

use std::time::Duration;

use crate::audit::{Rules, audit};
use crate::load::{Load, Size};
use crate::tidings::Group;

#[test]
fn a_small_load_on_one_server_is_delivered_to_everybody() {
    let group = Group::start(1, &[]);
    let size = Size { topics: 3, publishers: 3, rate: 150.0, ..Size::USUAL };
    let mut load = Load::start(group.addresses(), size);
    load.run_for(Duration::from_secs(1));
    load.mark("a second");
    let figures = load.finish(Rules::STRICT);
    assert!(figures.acknowledged > 100, "{figures:?}");
    assert_eq!(figures.epochs, 3);
}

#[test]
fn logs_that_are_short_make_gaps_and_no_mistakes() {
    let group = Group::start(1, &["--log-messages", "10"]);
    let size = Size { topics: 2, publishers: 4, rate: 1_000.0, each: 3, logs_are_long: false };
    let load = Load::start(group.addresses(), size);
    load.run_for(Duration::from_secs(2));
    let figures = load.finish(Rules::TRIMMED);
    assert!(figures.gaps > 0, "{figures:?}");
}

#[test]
fn servers_that_share_nothing_are_found_out() {
    let group = Group::start(2, &[]);
    let size = Size { topics: 2, publishers: 2, rate: 200.0, each: 3, logs_are_long: false };
    let load = Load::start(group.addresses(), size);
    load.run_for(Duration::from_secs(2));
    let record = load.record();
    for rules in [Rules::STRICT, Rules::LIVES, Rules::TAILS] {
        let complaints = audit(&record, rules).expect_err("two logs are not one");
        assert!(complaints.len() > 10, "{complaints:#?}");
    }
}
