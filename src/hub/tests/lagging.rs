//! Readers with all kinds of cursors at a worker whose replica lags for want of credit.

use super::*;

/// The topic's owner and the worker that lags behind it.
const OWNER: usize = 0;
const HERE: usize = 1;

struct Lagging {
    world: World,
    topic: TopicName,
    /// What the owner has told anybody, in turn.
    told: Vec<Position>,
    /// The owner has failed: so many letters of its former life arrive before the news of it.
    news_behind: Option<usize>,
    readers: Vec<Option<Reader>>,
    /// How likely it is at present that a letter arrives, of 100: here, and at the owner.
    arrivals: (u8, u8),
    what: String,
}

/// Who waits for its subscription to begin, or has begun.
struct Reader {
    edge: Edge,
    position: Position,
    /// Whether the position was told when it came; else somebody has invented it.
    is_told: bool,
}

impl Lagging {
    fn new(seed: u64) -> Self {
        let mut config = config(2);
        config.limits.log_messages = 4;
        config.budgets.credit = [4, 9, 20][seed as usize % 3];
        let mut world = World::new(config, seed);
        let topic = world.name(OWNER, 0);
        // Whoever stays keeps the replica.
        world.subscribe(HERE, &topic);
        // Numbers wrap; the first question is number 1, 2, ... or one of the last.
        world.hubs[HERE].questions = (seed as u32 % 8).wrapping_sub(4);
        Self {
            world,
            topic,
            told: Vec::new(),
            news_behind: None,
            readers: vec![None],
            arrivals: (50, 50),
            what: format!("seed {seed}"),
        }
    }

    fn reach(&self) -> Option<Reach> {
        self.world.log(OWNER, &self.topic).map(Log::reach)
    }

    fn note_told(&mut self) {
        let head = self.world.log(OWNER, &self.topic).map(Log::head);
        self.told.extend(head);
    }

    fn fail_owner(&mut self) {
        if self.news_behind.is_none() {
            let (config, now) = (self.world.config.clone(), self.world.now.instant);
            let successor = self.world.hubs[OWNER].successor(&config, now);
            self.world.hubs[OWNER] = successor;
            self.world.roads[HERE][OWNER].clear();
            self.news_behind = Some(self.world.letters(OWNER, HERE));
        }
    }

    /// Lets one letter arrive here, or the news that the owner has failed.
    fn deliver_here(&mut self) {
        if self.news_behind == Some(0) {
            self.news_behind = None;
            // What was sent to the owner that failed is not for the one that is there now.
            self.world.roads[HERE][OWNER].clear();
            let now = self.world.now;
            self.world.hubs[HERE].handle_restart(now, OWNER);
            self.world.carry();
        } else if self.world.deliver(OWNER, HERE)
            && let Some(letters) = &mut self.news_behind
        {
            *letters -= 1;
        }
        self.visit_called();
    }

    fn deliver_to_owner(&mut self) {
        if self.news_behind.is_some() {
            self.world.roads[HERE][OWNER].clear();
        }
        self.world.deliver(HERE, OWNER);
    }

    fn come(&mut self) {
        let random = &mut self.world.random;
        let Some(&last) = self.told.last() else { return };
        let position = match random.u8(0..8) {
            0..3 => last,
            3..6 => self.told[random.usize(..self.told.len())],
            6 => Position { sequence: last.sequence + random.u64(1..4), ..last },
            _ => Position { epoch: Epoch::from_random(random.u64(..)), sequence: random.u64(..) },
        };
        self.come_with(position);
    }

    /// A reader comes. Returns its slot.
    fn come_with(&mut self, position: Position) -> usize {
        let slot = self.readers.len();
        let now = self.world.now;
        let seated = self.world.hubs[HERE].subscribe(now, &self.topic, subscriber(slot as u32));
        let (id, seat) = seated.expect("there is room for one topic");
        let (edge, is_told) = (Edge::unresolved(id, seat), self.told.contains(&position));
        self.readers.push(Some(Reader { edge, position, is_told }));
        self.visit(slot as u32);
        slot
    }

    fn leave(&mut self, slot: usize) {
        if let Some(reader) = self.readers[slot].take() {
            self.world.unsubscribe(HERE, (reader.edge.topic, reader.edge.seat));
        }
    }

    /// Only whom the hub says: who waits is visited when there is something to see.
    fn visit_called(&mut self) -> usize {
        let mut visited = 0;
        while let Some(slot) = self.world.hubs[HERE].poll_delivery() {
            self.visit(slot);
            visited += 1;
        }
        self.world.carry();
        visited
    }

    /// Lets one question and its answer arrive, past all other letters. Returns how many were visited.
    fn answer_one(&mut self) -> usize {
        let now = self.world.now;
        self.world.carry();
        let question = self.world.roads[HERE][OWNER].pop_back().expect("a question");
        self.world.hubs[OWNER].handle_mail(now, HERE, question);
        self.world.carry();
        let answer = self.world.roads[OWNER][HERE].pop_back().expect("an answer");
        self.world.hubs[HERE].handle_mail(now, OWNER, answer);
        self.visit_called()
    }

    fn visit(&mut self, slot: u32) {
        let there = self.reach();
        let Some(Reader { edge, position, is_told }) = &mut self.readers[slot as usize] else {
            return;
        };
        let hub = &mut self.world.hubs[HERE];
        let is_live = matches!(hub.view(edge.topic), View::Live(_));
        if edge.is_resolved() || !is_live || edge.is_on_its_way(hub, *position) {
            return self.world.carry();
        }
        let View::Live(log) = hub.view(edge.topic) else { unreachable!("it was just now") };
        let start = Start::parse(position.text().as_bytes()).unwrap();
        edge.resolve(log, &start, Some(*position));
        let (is_good, what) = (edge.due(log) != Due::Gap(None), &self.what);
        if is_good {
            assert!(self.told.contains(position), "{position:?} was never told: {what}");
        } else if there.is_some_and(|there| there.covers(*position)) {
            assert!(!*is_told, "{position:?} is good: {what}");
        }
        let first = |epoch| self.told.iter().position(|told| told.epoch == epoch);
        let goes_back = *is_told && first(log.epoch()) < first(position.epoch);
        assert!(!goes_back || first(log.epoch()).is_none(), "{position:?} is led back: {what}");
    }

    fn step(&mut self) {
        let random = &mut self.world.random;
        if random.u8(0..20) == 0 {
            self.arrivals = (random.u8(0..100), random.u8(0..100));
        }
        let (here, there) = (random.u8(0..100), random.u8(0..100));
        match random.u8(0..60) {
            0..25 => self.publish(),
            25..30 => {
                let topic = self.topic.clone();
                self.world.delete(OWNER, &topic);
                self.note_told();
            }
            30 => self.fail_owner(),
            31..55 => self.come(),
            _ => {
                let slot = self.world.random.usize(..self.readers.len());
                self.leave(slot);
            }
        }
        self.world.carry();
        if here < self.arrivals.0 {
            self.deliver_here();
        }
        if there < self.arrivals.1 {
            self.deliver_to_owner();
        }
    }

    fn publish(&mut self) {
        let topic = self.topic.clone();
        self.world.publish(OWNER, &topic, 1);
        self.note_told();
    }

    fn finish(&mut self) {
        while self.news_behind.is_some()
            || self.world.letters(OWNER, HERE) + self.world.letters(HERE, OWNER) > 0
        {
            self.deliver_here();
            self.deliver_to_owner();
        }
        for reader in self.readers.iter().flatten() {
            assert!(reader.edge.is_resolved(), "{:?} waits: {}", reader.position, self.what);
        }
    }
}

#[test]
fn a_cursor_that_is_ahead_of_a_replica_is_waited_for_and_one_that_is_not_good_is_a_gap() {
    for seed in 0..2_000 {
        let mut lagging = Lagging::new(seed);
        for _ in 0..200 {
            lagging.step();
        }
        lagging.finish();
    }
}

/// A lagging replica, and readers who have been told more.
fn lagging_replica() -> Lagging {
    let mut lagging = Lagging::new(4);
    lagging.world.settle();
    lagging.visit_called();
    for _ in 0..20 {
        lagging.publish();
    }
    lagging
}

#[test]
fn questions_of_other_topics_do_not_answer_one_of_this_however_many_there_were() {
    let mut lagging = lagging_replica();
    for more in [0, 1 << 31, (1 << 31) + 1, u32::MAX] {
        let questions = &mut lagging.world.hubs[HERE].questions;
        *questions = questions.wrapping_add(more);
        lagging.publish();
        let slot = lagging.come_with(*lagging.told.last().unwrap());
        lagging.answer_one();
        let reader = lagging.readers[slot].as_ref().unwrap();
        assert!(!reader.edge.is_resolved(), "its mail is on its way");
    }
    lagging.finish();
}

#[test]
fn an_answer_is_told_to_who_asked_and_one_question_is_on_its_way_at_a_time() {
    let mut lagging = lagging_replica();
    lagging.world.carry();
    let before = lagging.world.letters(HERE, OWNER);
    for number in 1..=1_000 {
        lagging.come_with(Position { epoch: Epoch::from_random(number), sequence: number });
    }
    assert_eq!(lagging.world.letters(HERE, OWNER), before + 1);
    // The first question is the first one's alone, the second that of all others.
    for visits in [1, 999] {
        assert_eq!(lagging.answer_one(), visits);
    }
    assert_eq!(lagging.world.letters(HERE, OWNER), before, "nobody has anything to ask");
    lagging.finish();
}
