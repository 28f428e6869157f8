// The live page: one topic received by four wires side by side.

import { subscribe, publish } from './tidings.js';

const WIRES = [
  ['poll', 'Short poll', 'Asks every second, is answered at once.'],
  ['long-poll', 'Long poll', 'Asks, and is answered when there is something.'],
  ['sse', 'Server-Sent Events', 'Asks once; the answer never ends.'],
  ['websocket', 'WebSocket', 'One connection, both ways.'],
];
const LATENCIES_MAX = 60;
const MESSAGES_MAX = 8;
const CUT_MS = 3000;
const RATE_MS_MAX = 60_000;
const IN_FLIGHT_MAX = 20; // Publishes without an answer: beyond this the rate gives way.

const find = (id) => document.getElementById(id);
const topic = new URLSearchParams(location.search).get('topic') || 'demo';

// Messages of this page carry a number and this mark, so that each column knows when they left.
const mark = Math.random().toString(36).slice(2, 10);
const publishedAt = [];
let inFlight = 0;

async function send(text) {
  const number = publishedAt.length;
  publishedAt.push(performance.now());
  inFlight += 1;
  try {
    await publish(topic, { text, number, from: mark });
    show('');
  } catch (error) {
    show(`Not published: ${error.message}`);
  } finally {
    inFlight -= 1;
  }
}

function show(text) {
  if (find('status').textContent !== text) find('status').textContent = text;
}

class Column {
  constructor(via, title, how) {
    this.via = via;
    this.received = 0;
    this.requestsBefore = 0; // Those of subscriptions that were cut.
    this.latencies = [];
    this.rows = [];
    this.resumedAt = undefined;
    this.caughtUp = 0;
    this.gone = 0;

    const section = find('column').content.cloneNode(true).firstElementChild;
    const heading = section.querySelector('h2');
    heading.textContent = title;
    heading.id = `title-${via}`;
    section.setAttribute('aria-labelledby', heading.id);
    section.querySelector('.how').textContent = how;
    this.state = section.querySelector('.state');
    this.note = section.querySelector('.note');
    this.path = section.querySelector('path');
    this.list = section.querySelector('.messages');
    this.button = section.querySelector('button');
    this.button.setAttribute('aria-describedby', heading.id);
    this.button.addEventListener('click', () => this.cut());
    this.values = {};
    for (const element of section.querySelectorAll('[data-show]')) {
      this.values[element.dataset.show] = element;
    }
    find('columns').append(section);
  }

  get isCut() {
    return this.button.getAttribute('aria-disabled') === 'true';
  }

  open() {
    this.subscription = subscribe(topic, {
      via: this.via,
      after: this.cursor,
      onMessage: (message) => this.take(message),
      onGap: ({ count }) => this.gap(count),
      onState: (state, { error }) => this.tell(state, error),
    });
  }

  close() {
    if (!this.subscription) return;
    this.subscription.close();
    this.cursor = this.subscription.cursor;
    this.requestsBefore += this.subscription.requests;
    this.subscription = undefined;
  }

  // Closes the connection, keeps the cursor, and comes back with it.
  cut() {
    if (this.isCut) return;
    this.button.setAttribute('aria-disabled', 'true');
    this.close();
    this.tell('cut');
    this.note.textContent = `Cut. Back in ${CUT_MS / 1000} s.`;
    setTimeout(() => {
      this.resumedAt = performance.now();
      this.caughtUp = this.gone = 0;
      this.button.removeAttribute('aria-disabled');
      if (!document.hidden) this.open();
      setTimeout(() => this.report(), 1500);
    }, CUT_MS);
  }

  report() {
    const missed = Number.isNaN(this.gone) ? 'some' : this.gone || 'none';
    this.note.textContent = `Back: ${this.caughtUp} caught up, ${missed} missed.`;
    this.resumedAt = undefined;
  }

  tell(state, error) {
    this.state.dataset.state = state;
    this.state.textContent = state;
    if (error && state === 'closed') this.note.textContent = error.message;
    repaint();
  }

  take(message) {
    const now = performance.now();
    let body = message.data; // An object of this page's, or whatever somebody else published.
    if (this.via === 'sse') {
      try { body = JSON.parse(body); } catch { /* Text, then. */ }
    }
    const own = body?.from === mark ? publishedAt[body.number] : undefined;
    let latency;
    if (own !== undefined) latency = now - own;
    else if (message.time !== undefined) latency = Math.max(0, Date.now() - message.time);

    this.received += 1;
    if (this.resumedAt !== undefined && own < this.resumedAt) this.caughtUp += 1;
    if (latency !== undefined) {
      this.latencies.push(latency);
      if (this.latencies.length > LATENCIES_MAX) this.latencies.shift();
    }
    const isOurs = typeof body?.text === 'string' && Number.isInteger(body.number);
    const text = isOurs ? `${body.text} #${body.number + 1}` : asText(message.data);
    this.addRow({ text, latency });
  }

  gap(count) {
    this.gone += count ?? NaN; // Nobody knows how many.
    const text = count === null ? 'some messages are gone' : `${count} messages are gone`;
    this.addRow({ text, isGap: true });
  }

  addRow(row) {
    this.rows.unshift(row);
    this.rows.length = Math.min(this.rows.length, MESSAGES_MAX);
    this.isStale = true;
    repaint();
  }

  paint() {
    const latencies = this.latencies;
    const sorted = latencies.toSorted((a, b) => a - b);
    this.values.received.textContent = this.received;
    this.values.requests.textContent = this.requestsBefore + (this.subscription?.requests ?? 0);
    if (!this.isStale) return;
    this.isStale = false;
    this.values.latency.textContent = asTime(latencies.at(-1));
    this.values.median.textContent = asTime(sorted[sorted.length >> 1]);
    const left = LATENCIES_MAX - latencies.length;
    this.path.setAttribute('d', latencies.map((latency, index) => {
      const height = Math.min(20, Math.max(0.4, latency / 50)).toFixed(2);
      return `M${left + index + 0.1} 20v-${height}h.8v${height}z`;
    }).join(''));
    this.list.replaceChildren(...this.rows.map(({ text, latency, isGap }) => {
      const item = document.createElement('li');
      const what = document.createElement('span');
      what.textContent = text;
      item.append(what);
      if (isGap) item.className = 'gap';
      if (latency !== undefined) {
        const when = document.createElement('span');
        when.className = 'quiet';
        when.textContent = asTime(latency);
        item.append(' ', when);
      }
      return item;
    }));
  }
}

function asText(data) {
  return (typeof data === 'string' ? data : JSON.stringify(data)).slice(0, 200);
}

function asTime(ms) {
  if (ms === undefined) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

// However much arrives, the page is drawn once a frame.
let isPainting = false;
function repaint() {
  if (isPainting) return;
  isPainting = true;
  requestAnimationFrame(() => {
    isPainting = false;
    for (const column of columns) column.paint();
  });
}

const columns = WIRES.map((wire) => new Column(...wire));

// Publishing.

find('publish').addEventListener('submit', (event) => {
  event.preventDefault();
  send(find('text').value);
});

const rate = find('rate');
let timer;
let stopAt = 0;

function setRate(value) {
  clearInterval(timer);
  rate.value = value;
  showRate();
  if (value === 0) return;
  stopAt = performance.now() + RATE_MS_MAX;
  showRate();
  timer = setInterval(() => {
    if (performance.now() > stopAt) return setRate(0);
    if (inFlight < IN_FLIGHT_MAX) send(find('text').value);
    showRate();
  }, 1000 / value);
}

function showRate() {
  const value = rate.valueAsNumber;
  const seconds = Math.max(0, Math.ceil((stopAt - performance.now()) / 1000));
  const shown = value === 0 ? 'off' : `${value} a second, ${seconds} s left`;
  if (find('rate-shown').textContent !== shown) find('rate-shown').textContent = shown;
  rate.setAttribute('aria-valuetext', value === 0 ? 'off' : `${value} messages a second`);
}

rate.addEventListener('input', () => setRate(rate.valueAsNumber));
setRate(0); // Browsers like to restore what a form had.

// A hidden page gives its connections back (a browser has only six for each server) and resumes.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) setRate(0);
  for (const column of columns) {
    if (document.hidden) column.close();
    else if (!column.subscription && !column.isCut) column.open();
  }
});

find('topic').textContent = topic;
const path = `topics/${encodeURIComponent(topic).replaceAll("'", '%27')}`;
find('command').textContent = `curl -d hello '${new URL(path, import.meta.url)}'`;
try {
  for (const column of columns) column.open();
} catch (error) {
  show(error.message);
}
setInterval(repaint, 1000); // Requests go up without messages.
