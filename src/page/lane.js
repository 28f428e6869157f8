// One way of waiting: its subscription, its numbers, and what the timeline draws of it.

import { subscribe } from '../tidings.js';

export const WIRES = [
  ['poll', 'Short poll', 'Asks every second, is answered at once.'],
  ['long-poll', 'Long poll', 'Asks, and is answered when there is something.'],
  ['sse', 'Server-Sent Events', 'Asks once; the answer never ends.'],
  ['websocket', 'WebSocket', 'One connection, both ways.'],
];
// Each has a shape of its own: colours alone do not tell them apart for everyone. 12 by 12.
export const SHAPES = {
  poll: 'M6 1.2a4.8 4.8 0 1 0 .01 0z',
  'long-poll': 'M1.7 1.7h8.6v8.6H1.7z',
  sse: 'M6 1l5.4 9.8H.6z',
  websocket: 'M6 .4L11.6 6 6 11.6.4 6z',
};
const LATENCIES_MAX = 1000;
const CUT_MS = 3000;
const SETTLED_MS = 1500; // Behind a cut: by then what was missed has arrived, or been declared gone.
const KEPT_MS = 20_000; // What the timeline can show.

export class Lane {
  received = 0;
  arrivals = []; // { born, at, number?, late } in the order of `at`
  spans = []; // { from, to? }: requests under way, as long as they are
  cuts = []; // { from, to? }
  gaps = []; // { at, count }
  arrived = new Set(); // Numbers of this page's own messages.
  state = 'closed';
  #latencies = [];
  #before = { requests: 0, bytes: 0, reconnects: 0 }; // Of subscriptions that were closed.
  #seen = 0; // Requests of the subscription that were noticed.
  #since = -Infinity; // What was published before is caught up, and says nothing of the wire.
  #backAt; // When the client tries again.
  #life; // Which subscription is ours; another's last words do not count.
  #back; // While something is caught up: what became of it.

  constructor([via, title, how], topic, ledger, tell) {
    Object.assign(this, { via, title, topic, ledger, tell });
    const section = document.getElementById('lane').content.cloneNode(true).firstElementChild;
    const find = (query) => section.querySelector(query);
    find('.name').textContent = title;
    find('.how').textContent = how;
    find('h2').id = `title-${via}`;
    find('.mark path').setAttribute('d', SHAPES[via]);
    section.dataset.wire = via;
    section.setAttribute('aria-labelledby', `title-${via}`);
    this.canvas = find('canvas');
    this.canvas.setAttribute('aria-label', `${title}: when each message arrived`);
    [this.stateShown, this.note, this.button] = ['.state', '.note', '.cut'].map(find);
    this.button.setAttribute('aria-describedby', `title-${via}`);
    this.button.addEventListener('click', () => this.cut());
    this.values = {};
    for (const element of section.querySelectorAll('[data-show]')) {
      this.values[element.dataset.show] = element;
    }
    document.getElementById('lanes').append(section);
    this.show('closed');
  }

  get isCut() {
    return this.button.getAttribute('aria-disabled') === 'true';
  }

  open() {
    if (this.subscription || this.isCut) return;
    this.#seen = 0;
    this.#since = performance.now();
    const life = (this.#life = {});
    let opened = 0;
    this.subscription = subscribe(this.topic, {
      via: this.via,
      after: this.cursor,
      onMessage: (message) => this.#take(message),
      onGap: ({ count }) => this.#gap(count),
      onState: (state, { error, retryMs } = {}) => {
        if (this.#life !== life) return;
        if (state === 'open') opened += 1;
        if (state === 'open' && opened > 1) this.#since = performance.now();
        if (state !== 'open') this.#end();
        this.show(state, retryMs);
        if (error?.status) this.say(error.message, true);
        else if (state === 'open' && this.note.classList.contains('bad')) this.say('');
      },
    });
  }

  /** Closes the connection and keeps the cursor. */
  close(state) {
    if (this.subscription) {
      const { subscription } = this;
      this.#count(this.#before, subscription);
      this.#before.reconnects += 1; // The one that follows.
      this.#life = this.subscription = undefined; // What it says of its end is known.
      subscription.close();
      this.cursor = subscription.cursor;
    }
    this.#end();
    if (state) this.show(state);
  }

  #count(sum, { requests, bytes, reconnects }) {
    sum.requests += requests;
    sum.bytes += bytes ?? NaN;
    sum.reconnects += reconnects ?? 0;
    return sum;
  }

  /** Requests, bytes and reconnects so far. */
  get costs() {
    const sum = { ...this.#before };
    if (this.subscription) return this.#count(sum, this.subscription);
    sum.reconnects = Math.max(0, sum.reconnects - 1);
    return sum;
  }

  cut() {
    if (this.isCut || !this.subscription) return;
    this.button.setAttribute('aria-disabled', 'true');
    this.close('cut');
    this.cuts = [...this.cuts.slice(-9), { from: performance.now() }];
    this.say(`Cut. Back in ${CUT_MS / 1000} s.`);
    setTimeout(() => {
      this.cuts.at(-1).to = performance.now();
      this.button.removeAttribute('aria-disabled');
      this.show('closed');
      this.#back = { caughtUp: 0, gone: 0 };
      this.say('Back with its cursor …');
      this.tell('back', this);
      setTimeout(() => this.#report(), SETTLED_MS);
    }, CUT_MS);
  }

  #report() {
    const { caughtUp, gone } = this.#back;
    this.#back = undefined;
    const missed = Number.isNaN(gone) ? 'some' : gone || 'none';
    this.say(`Back with its cursor: caught up ${caughtUp}, missed ${missed}.`);
    this.tell('resumed', this, caughtUp, missed);
  }

  say(text, bad = false) {
    this.note.classList.toggle('bad', bad);
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  show(state, retryMs) {
    this.state = state;
    this.stateShown.dataset.state = state;
    this.#backAt = state === 'waiting' && retryMs >= 1000 ? performance.now() + retryMs : undefined;
    this.refresh();
  }

  /** Counts down until a connection is tried again. */
  refresh() {
    const left = Math.ceil((this.#backAt - performance.now()) / 1000);
    const text = left > 0 ? `back in ${left} s` : this.state;
    if (this.stateShown.textContent !== text) this.stateShown.textContent = text;
  }

  /** Notices requests; the client only counts them. */
  observe(now) {
    const requests = this.subscription?.requests ?? this.#seen;
    if (requests === this.#seen) return;
    this.#seen = requests;
    this.#end(now);
    this.spans.push({ from: now, to: this.via === 'poll' ? now : undefined });
    while (this.spans[0]?.to < now - KEPT_MS) this.spans.shift();
  }

  #end(now = performance.now()) {
    const last = this.spans.at(-1);
    if (last && last.to === undefined) last.to = now;
  }

  #take(message) {
    const now = performance.now();
    this.observe(now);
    let body = message.data; // An object of this page's, or whatever somebody else published.
    if (typeof body === 'string' && this.via === 'sse') {
      try { body = JSON.parse(body); } catch { /* Text, then. */ }
    }
    const number = this.ledger.ownNumber(body);
    const born = this.ledger.bornAt(message, number, now);
    const late = born < this.#since;
    this.received += 1;
    if (number !== undefined) this.arrived.add(number).delete(number - 5000);
    if (late && this.#back) this.#back.caughtUp += 1;
    if (born !== undefined) {
      this.arrivals.push({ born, at: now, late });
      while (this.arrivals[0].at < now - KEPT_MS) this.arrivals.shift();
    }
    if (born !== undefined && !late) {
      this.#latencies.push(now - born);
      if (this.#latencies.length > LATENCIES_MAX) this.#latencies.shift();
    }
    const ours = typeof body?.text === 'string' && Number.isInteger(body.number);
    this.said = ours ? `${body.text} #${body.number + 1}`
      : (typeof body === 'string' ? body : JSON.stringify(body)).slice(0, 200);
  }

  #gap(count) {
    const now = performance.now();
    this.gaps.push({ at: now, count });
    while (this.gaps[0].at < now - KEPT_MS) this.gaps.shift();
    if (this.#back) this.#back.gone += count ?? NaN; // Nobody knows how many.
    else this.say(`${count === null ? 'Some messages are' : `${count} are`} gone; the server said so.`, true);
  }

  /** The numbers of now, in milliseconds and bytes; undefined where there are none. */
  numbers() {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    return {
      ...this.costs,
      received: this.received,
      said: this.said,
      last: this.#latencies.at(-1),
      median: sorted[sorted.length >> 1],
      worst: sorted[Math.ceil(sorted.length * 0.99) - 1],
    };
  }
}
