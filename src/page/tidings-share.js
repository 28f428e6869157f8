// Tabs of one page share one connection: the part of the browser client that `share: true` loads.
//
// The tabs that ask the same server by the same `via` are a group. Whoever holds the group's Web
// Lock leads: it has the connection, for the topics of all, and passes on what it hears on a
// BroadcastChannel. When its tab is closed, or dies, the browser gives the lock to another one; from
// a tab that is frozen, and does not answer, it is taken away.
//
// What is passed on are segments: a message or a gap, with the position in its topic `from` which
// it leads and the one `to` which it leads. They are laid like dominoes: a tab takes a segment that
// begins where it stands, and no other. A tab that is not where the leader is (it joined, it was
// frozen, the leader changed) asks the server by itself, with short polls from its own position,
// until its position is the leader's or a segment fits. So whatever goes wrong between tabs, none of
// them misses a message, or hears it twice, or out of order; it only costs requests.

const TICK_MS = 2000;
const QUIET_MS_MAX = 3000; // A silent leader is asked, and has to answer by the next tick.
const ROLL_CALL_TICKS = 15; // Tabs that died are forgotten by the second roll-call that they miss.
const GATHER_MS = 50; // Tabs that are opened together are one change of the connection.
const POLL_MS_MAX = 15_000;
const BEHIND_MS_MIN = 250; // The leader may be where we are in a moment.
const BEHIND_MS_MAX = 4000;

const EVENTS = [
  [globalThis, 'pagehide'], [globalThis, 'pageshow'], [globalThis.document, 'visibilitychange'],
];

const groups = new Map(); // of this tab, by name

// One subscription in one tab. `tally` counts its requests; `goAlone(after)` takes it out of here.
export class Member {
  state = 'connecting';
  #names;
  #options;
  #core;
  #tally;
  #address;
  #position;
  #group;
  #attempt = new AbortController(); // Ends what is under way when it closes or pauses.
  #held; // Segments that came during a poll.
  #timer;
  #behindMs = BEHIND_MS_MIN;
  #failures = 0;
  #isUnloaded = false;

  constructor(names, options, core, tally, goAlone) {
    this.goAlone = () => {
      this.#end();
      goAlone(this.cursor);
    };
    this.#names = names;
    this.#options = options;
    this.#core = core;
    this.#tally = tally;
    this.#address = core.topicAddress(names, options.url);
    this.#position = new core.Position(names, options.after, options.last);
  }

  start() {
    for (const [target, type] of EVENTS) target?.addEventListener(type, this);
    if (this.#isHidden) this.#tell('paused');
    else this.#join();
  }

  get cursor() { return this.#position.text; }

  get via() { return this.#group?.detail.via ?? this.#core.wires(this.#options.via)[0]; }

  // What the tab tells its leader: where this member is in each of its topics.
  get positions() {
    const isKnown = this.#names.every((name) => this.#position.get(name) !== undefined);
    return isKnown ? this.#names.map((name) => [name, this.#position.get(name)]) : [];
  }

  close(error) {
    if (this.state === 'closed') return;
    this.#end();
    this.#tell('closed', error && { error });
  }

  #end() {
    this.#leave();
    for (const [target, type] of EVENTS) target?.removeEventListener(type, this);
  }

  handleEvent({ type }) {
    if (type === 'pagehide' || type === 'pageshow') this.#isUnloaded = type === 'pagehide';
    if (this.#isHidden === (this.#group === undefined)) return;
    if (this.#isHidden) {
      this.#leave();
      this.#tell('paused');
    } else {
      this.#join();
    }
  }

  get #isHidden() {
    const { pauseWhenHidden } = this.#options;
    return this.#isUnloaded || Boolean(pauseWhenHidden && globalThis.document?.hidden);
  }

  #join() {
    this.#attempt = new AbortController();
    this.#group = Group.of(this.#options, this.#core);
    this.#group.members.set(this, this.#tally);
    this.#tell('connecting');
    this.#catchUp();
  }

  #leave() {
    this.#attempt.abort();
    clearTimeout(this.#timer);
    this.#timer = this.#held = undefined;
    this.#group?.leave(this);
    this.#group = undefined;
  }

  #tell(state, more) {
    this.state = state;
    this.#core.call(this.#options.onState, state, { via: this.via, ...more });
  }

  // The leader's connection is in another state, or at other positions.
  follow() {
    if (this.#held || this.positions.length === 0) return; // Not before it is somewhere itself.
    const { state, detail } = this.#group;
    if (state !== this.state) this.#tell(state, detail);
    this.#check();
  }

  hear(segment) {
    if (this.#held) this.#held.push(segment);
    else this.#take(segment);
  }

  #take({ topic, from, to, gap, message }) {
    if (!this.#names.includes(topic)) return;
    if (this.#position.get(topic) === from) {
      this.#position.set(topic, to);
      if (gap !== undefined) this.#pass('onGap', { topic, count: gap });
      if (message) this.#pass('onMessage', message);
    }
    this.#check();
  }

  #pass(callback, value) {
    if (this.#group) this.#core.call(this.#options[callback], value);
  }

  get #isInStep() {
    const { positions } = this;
    return positions.length > 0 && positions.every(([name, at]) => at === this.#group.at.get(name));
  }

  // Sees to it that a member that is out of step asks the server, if it still is in a moment.
  #check() {
    if (!this.#group || this.#held) return;
    if (this.#isInStep) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#behindMs = BEHIND_MS_MIN;
    } else {
      this.#timer ??= setTimeout(() => this.#catchUp(), this.#behindMs);
    }
  }

  // Asks the server for what is behind the own position. What comes meanwhile is held.
  async #catchUp() {
    const { signal } = this.#attempt;
    const isFirst = this.positions.length === 0;
    this.#held = [];
    const error = await this.#poll(signal).then(() => undefined, (error) => error);
    if (signal.aborted) return;
    if (error?.final) return this.close(error);
    const held = this.#held;
    this.#held = this.#timer = undefined;
    this.#failures = error ? this.#failures + 1 : 0;
    this.#behindMs = error
      ? Math.max(error.retryMs ?? 0, this.#core.backOff(this.#failures))
      : Math.min(this.#behindMs * 2, BEHIND_MS_MAX);
    for (const segment of held) if (!signal.aborted) this.#take(segment);
    if (signal.aborted) return;
    if (isFirst && error) this.#tell('waiting', { retryMs: this.#behindMs, error });
    if (isFirst && !error) this.#group.want();
    this.follow();
    this.#check();
  }

  async #poll(signal) {
    const attempt = new AbortController();
    const timer = setTimeout(() => attempt.abort(new Error('no answer')), POLL_MS_MAX);
    signal.addEventListener('abort', () => attempt.abort(), { signal: attempt.signal });
    const link = new this.#core.Link('poll', attempt.signal, {
      open: (cursor) => signal.aborted || this.#position.move(cursor),
      gap: ({ topic, count }) => signal.aborted || this.#pass('onGap', { topic, count }),
      message: (message) => {
        if (signal.aborted) return;
        this.#position.set(message.topic, message.id);
        this.#pass('onMessage', message);
      },
    }, {
      count: (bytes) => (this.#tally.bytes += bytes),
      request: () => {
        this.#tally.requests += 1;
        const url = new URL(this.#address);
        url.search = new URLSearchParams(this.#position.query);
        return url;
      },
    });
    try {
      while (!signal.aborted && (await this.#core.readPage(link)).more);
    } finally {
      clearTimeout(timer);
      attempt.abort();
    }
  }
}

// All members of this tab that ask the same server in the same way, and their leader's word.
class Group {
  members = new Map(); // with what counts their requests
  state = 'connecting'; // of the leader's connection
  detail = {};
  at = new Map(); // Where the leader is, by topic.
  #name;
  #id;
  #core;
  #options;
  #channel;
  #end = new AbortController();
  #feed; // If it leads.
  #resign;
  #term = 0; // When the leader became one: what an earlier one says does not count any more.
  #heardAt = performance.now(); // When the leader last spoke,
  #askedAt = Infinity; // and when it was asked to.
  #ticks = 0;

  static of({ url, via = 'auto' }, core) {
    const name = `tidings ${via} ${new URL('./', core.topicAddress(['x'], url))}`;
    if (!groups.has(name)) groups.set(name, new Group(name, { url, via }, core));
    return groups.get(name);
  }

  constructor(name, options, core) {
    this.#name = name;
    this.#options = options;
    this.#core = core;
    this.#id = core.randomKey();
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#ask({});
    const ticking = setInterval(() => this.#tick(), TICK_MS);
    this.#end.signal.addEventListener('abort', () => clearInterval(ticking));
  }

  leave(member) {
    this.members.delete(member);
    if (this.members.size > 0) return this.want();
    groups.delete(this.#name);
    this.#post({ type: 'want', topics: [] });
    this.#end.abort();
    this.#stop();
    this.#channel.close();
  }

  // Tells the leader which topics this tab wants, and from where.
  want() {
    this.#say({ type: 'want', topics: [...this.members.keys()].flatMap((one) => one.positions) });
  }

  // Waits for the lock, and leads while it has it.
  #ask(options) {
    if (!options.steal) options = { signal: this.#end.signal };
    navigator.locks.request(this.#name, options, () => this.#lead()).catch(({ name }) => {
      this.#stop(); // It was taken away,
      if (name !== 'AbortError') this.#dissolve(); // or there are none for this kind of page.
      // Whoever took it from another one is still in the queue, too.
      else if (!options.steal && !this.#end.signal.aborted) this.#ask({});
    });
  }

  #lead() {
    if (this.#end.signal.aborted) return undefined;
    this.#stop();
    this.#term = Math.max(Date.now(), this.#term + 1);
    const [tally] = this.members.values();
    this.#feed = new Feed(this.#options, this.#core, tally, this.#term, (word) => this.#say(word));
    this.#say({ type: 'who', term: this.#term });
    return new Promise((resolve) => (this.#resign = resolve));
  }

  #stop() {
    this.#feed?.close();
    this.#feed = undefined;
    this.#resign?.();
  }

  #tick() {
    this.#ticks += 1;
    const now = performance.now();
    if (this.#feed) {
      if (this.#ticks % ROLL_CALL_TICKS === 0) {
        this.#feed.forget();
        this.#say({ type: 'who', term: this.#term });
      }
    } else if (now - this.#heardAt < QUIET_MS_MAX) {
      this.#askedAt = Infinity;
    } else if (this.#askedAt === Infinity) {
      this.#askedAt = now;
      this.#post({ type: 'ask' });
    } else {
      this.#askedAt = Infinity;
      this.#heardAt = now;
      this.#ask({ steal: true });
    }
  }

  #post(word) {
    this.#channel.postMessage({ from: this.#id, ...word });
  }

  // To all tabs, and to this one.
  #say(word) {
    this.#post(word);
    this.#receive({ from: this.#id, ...word });
  }

  #receive(word) {
    if (word.type === 'want') return this.#feed?.take(word.from, word.topics);
    if (word.type === 'ask') return this.#feed?.announce();
    if (word.term < this.#term) return; // It does not know yet that it was replaced.
    if (word.term > this.#term) {
      this.#stop();
      this.at.clear();
    }
    this.#term = word.term;
    this.#heardAt = performance.now();
    const members = [...this.members.keys()];
    if (word.type === 'who') {
      this.want();
    } else if (word.type === 'at') {
      this.state = word.state;
      this.detail = word.detail;
      this.at = new Map(word.at);
      members.forEach((member) => member.follow());
    } else if (word.type === 'segment') {
      this.at.set(word.topic, word.to);
      members.forEach((member) => member.hear(word));
    } else if (word.type === 'refused') {
      this.#dissolve();
    }
  }

  // Each member has a connection of its own from now on, and hears for itself what is wrong.
  #dissolve() {
    [...this.members.keys()].forEach((member) => member.goAlone());
  }
}

// The leader's connection: for the topics of all tabs, on whichever wire works.
class Feed {
  #options;
  #core;
  #tally;
  #say;
  #term;
  #wanted = new Map(); // { topics, missed } by tab
  #at = new Map(); // Where it is, by topic.
  #gaps = new Map(); // Those that are told when it is known where they end, by topic.
  #connection;
  #names = [];
  #timer;
  #state = 'connecting';
  #detail = {};

  constructor(options, core, tally, term, say) {
    this.#options = options;
    this.#core = core;
    this.#tally = tally;
    this.#term = term;
    this.#say = (type, word) => say({ type, term, ...word });
  }

  close() {
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#connection = undefined;
    this.#say = () => {};
  }

  // A tab wants these topics; where it is in them is where one begins that is new.
  take(tab, topics) {
    this.#wanted.set(tab, { topics, missed: 0 });
    if (topics.length === 0) this.#wanted.delete(tab);
    this.#timer ??= setTimeout(() => this.#connect(), GATHER_MS);
  }

  // Before a roll-call: whoever did not answer the last two is gone.
  forget() {
    for (const [tab, wanted] of this.#wanted) {
      wanted.missed += 1;
      if (wanted.missed > 2) this.#wanted.delete(tab);
    }
  }

  announce() {
    const at = [...this.#at].filter(([name]) => this.#names.includes(name));
    this.#say('at', { state: this.#state, detail: this.#detail, at });
  }

  #connect() {
    this.#timer = undefined;
    const wanted = new Map([...this.#wanted.values()].flatMap(({ topics }) => topics));
    if ([...wanted.keys()].every((name) => this.#names.includes(name))) return this.announce();
    this.#connection?.close();
    this.#names = [...wanted.keys()];
    this.#at = new Map(this.#names.map((name) => [name, this.#at.get(name) ?? wanted.get(name)]));
    const position = new this.#core.Position(this.#names);
    this.#at.forEach((id, name) => position.set(name, id));
    const connection = new this.#core.Subscription(this.#names, {
      ...this.#options,
      tally: this.#tally,
      after: position.text,
      onMessage: (message) => this.#tell(message.topic, message.id, { message }),
      onGap: ({ topic, count }) => {
        this.#gaps.set(topic, count);
        this.#move(connection.cursor);
      },
      onCursor: (cursor) => this.#move(cursor),
      onState: (state, { via, retryMs, error }) => {
        if (error?.final) return this.#say('refused');
        if (state === 'closed') return;
        this.#state = state;
        this.#detail = { via, retryMs, error };
        this.announce();
      },
    });
    this.#connection = connection;
  }

  // The connection is at that cursor: topics that are elsewhere went there, perhaps behind a gap.
  #move(cursor) {
    const position = new this.#core.Position(this.#names, cursor);
    for (const name of this.#names) {
      const to = position.get(name);
      if (to !== undefined && to !== this.#at.get(name)) this.#tell(name, to);
    }
  }

  #tell(topic, to, more) {
    const segment = { topic, from: this.#at.get(topic), to, gap: this.#gaps.get(topic), ...more };
    this.#gaps.delete(topic);
    this.#at.set(topic, to);
    this.#say('segment', segment);
  }
}
