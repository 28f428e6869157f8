// The page at `/`: one topic received by four wires side by side, and what else can be shown of the server.

import { publish } from './tidings.js';
import { Chat } from './page/chat.js';
import { Lane, WIRES } from './page/lane.js';
import { Ledger } from './page/ledger.js';
import { Log } from './page/log.js';
import { Job } from './page/progress.js';
import { Timeline } from './page/timeline.js';
import { tooSlow } from './page/slow.js';
import { Seat } from './page/seat.js';

const RATE_AT_FIRST = 3; // Messages a second, so that there is something to see.
const RATE_MS_MAX = 60_000;
const IN_FLIGHT_MAX = 20; // Publishes without an answer: beyond this the rate gives way.
const PATIENCE_MS = 2500; // Without an answer to a publish for so long, the page says so.
const NUMBERS_MS = 250; // Between two looks at the numbers: faster nobody reads.
const GONE_MS = 1500; // With no wire open for so long, the server is gone.
const LATENCY_MS_MAX = 5000; // The right end of the bars of latencies; the left is 1 ms.

const find = (id) => document.getElementById(id);
const topic = new URLSearchParams(location.search).get('topic') || 'demo';
const ledger = new Ledger();
const log = new Log(`${topic}-log`);
const chat = new Chat(`${topic}-chat`);
const job = new Job(`${topic}-job`, (text) => log.add(text));
const seat = new Seat();

const lanes = WIRES.map((wire) => new Lane(wire, topic, ledger, (what, lane, caughtUp, missed) => {
  if (what === 'back') arrange();
  else log.add(`cut a connection (${lane.title}), which resumed: caught up ${caughtUp}, missed ${missed}`);
}));
const timeline = new Timeline(ledger, lanes, find('ticks'));

// Who may have a connection now. A hidden page gives all of them back, and resumes; of several windows, one
// holds those over HTTP, because a browser has only six of them for each server.
function arrange() {
  const [shown, seated] = [!document.hidden, seat.taken];
  for (const lane of lanes) {
    const held = lane.via === 'long-poll' || lane.via === 'sse';
    if (shown && (seated || !held)) lane.open();
    else if (lane.subscription) lane.close('paused');
  }
  chat.arrange(shown);
  log.arrange(shown, seated);
  job.arrange(shown, seated);
  const text = shown && !seated ? 'Another window of this page has the long poll and the event stream: use this '
    + 'one, and they come here. The log and the job below ask once a second meanwhile.' : '';
  if (find('seat').textContent !== text) find('seat').textContent = text;
}

// Publishing.

let inFlight = 0;

async function send(text) {
  const body = ledger.next(text);
  inFlight += 1;
  const late = setTimeout(() => {
    if (find('banner').hidden) show('The server has not taken a message yet. Asking again …');
  }, PATIENCE_MS);
  try {
    await publish(topic, body); // Which tries again for half a minute when it is refused for now.
    show('');
  } catch (error) {
    ledger.published[body.number] = NaN; // It is on its way to nobody.
    setRate(0);
    show(`Not published: ${error.status ? error.message : 'the server does not answer.'}`);
  } finally {
    clearTimeout(late);
    inFlight -= 1;
  }
}

function show(text) {
  if (find('status').textContent !== text) find('status').textContent = text;
}

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
  stopAt = performance.now() + RATE_MS_MAX;
  showRate();
  if (value === 0) return;
  timer = setInterval(() => {
    if (performance.now() > stopAt) return setRate(0);
    if (inFlight < IN_FLIGHT_MAX && find('banner').hidden) send(find('text').value);
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
rate.addEventListener('change', () => {
  if (rate.valueAsNumber) log.add(`publishes ${rate.valueAsNumber} messages a second`);
});

// Numbers.

function asTime(ms) {
  if (ms === undefined) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function asBytes(bytes) {
  if (Number.isNaN(bytes)) return '–';
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function showNumbers() {
  const all = lanes.map((lane) => lane.numbers());
  const largest = (name) => Math.max(1, ...all.map((numbers) => numbers[name] || 0));
  const [requests, bytes] = [largest('requests'), largest('bytes')];
  lanes.forEach((lane, index) => {
    lane.refresh();
    const [numbers, { values }] = [all[index], lane];
    const set = (name, text, share) => {
      if (values[name].textContent !== text) values[name].textContent = text;
      if (share !== undefined) values[name].style.setProperty('--share', share.toFixed(3));
    };
    set('last', asTime(numbers.last));
    const { median = 1 } = numbers;
    set('median', asTime(numbers.median),
      Math.min(1, Math.max(0, Math.log(median) / Math.log(LATENCY_MS_MAX))));
    set('worst', asTime(numbers.worst));
    set('received', numbers.received.toLocaleString('en'));
    set('requests', numbers.requests.toLocaleString('en'), numbers.requests / requests);
    set('bytes', asBytes(numbers.bytes), (numbers.bytes || 0) / bytes);
    set('reconnects', String(numbers.reconnects));
    set('said', numbers.said ?? '–');
  });
  const [slow, , , fast] = all;
  if (slow.median !== undefined && fast.median !== undefined) {
    const times = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en'));
    find('summary').textContent = `A message waits ${asTime(slow.median)} for a short poll, `
      + `${asTime(fast.median)} for a WebSocket: ${times(slow.median / fast.median)} times as long, `
      + `with ${times(slow.requests / fast.requests)} times the requests.`;
  }
}

let openAt = performance.now();

function lookAround() {
  showRate();
  showNumbers();
  const now = performance.now();
  const expected = lanes.filter((lane) => lane.subscription);
  if (document.hidden || expected.length === 0 || expected.some((lane) => lane.state === 'open')) openAt = now;
  const gone = now - openAt > GONE_MS;
  if (find('banner').hidden === gone) {
    find('banner').hidden = !gone;
    find('banner').textContent = gone ? 'The server does not answer. This page asks again by itself, and resumes.' : '';
  }
}

// Beginning.

find('freeze').addEventListener('click', ({ target }) => {
  const on = target.getAttribute('aria-pressed') !== 'true';
  target.setAttribute('aria-pressed', on);
  timeline.hold(on);
});

for (const button of document.querySelectorAll('.copy')) {
  button.addEventListener('click', async () => {
    const source = find(button.dataset.copies);
    const text = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = 'Copied';
    } catch { // Only for pages over HTTPS and of this machine.
      getSelection().selectAllChildren(source);
      button.textContent = 'Selected';
    }
    setTimeout(() => (button.textContent = text), 1500);
  });
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) setRate(0);
  arrange();
});
seat.onChange = arrange;

find('topic').textContent = topic;
const path = `topics/${encodeURIComponent(topic).replaceAll("'", '%27')}`;
find('command').textContent = `curl -d hello '${new URL(path, import.meta.url)}'`;
tooSlow(`${topic}-slow-${ledger.mark}`, (text) => log.add(text));
arrange();
log.add('opened this page');
setRate(matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : RATE_AT_FIRST);
setInterval(lookAround, NUMBERS_MS);
requestAnimationFrame(function frame(now) {
  timeline.draw(now);
  requestAnimationFrame(frame);
});
