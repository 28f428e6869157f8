// Somebody who is too slow: a reader that takes its time over each message, until the log has forgotten what
// it wants next. Nothing here is played: what is forgotten, and the gap, are the server's.
//
// It reads by long poll, because there nothing is between it and the log. An event stream that is not read
// comes to the same end, behind what the kernel and the browser buffer: up to 70 MB on one machine.

import { fit } from './timeline.js';

const MESSAGES = 2500;
const BATCH = 25;
const BATCH_MS = 50; // So 500 messages a second are published,
const SLOW_MS = 10; // and 100 are read.
const LOOK_MS = 200; // Between two looks at what the log still has.

const find = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString('en');

/** What became of each message, by its number: what the drawing shows. */
class Log {
  published = 0;
  first = 0; // What the log still has begins here.
  delivered = []; // { from, to }, the last still growing
  gone = []; // { from, to }
  next = 0; // What the reader wants next.

  deliver(index) {
    const last = this.delivered.at(-1);
    if (last?.to === index) last.to += 1;
    else this.delivered.push({ from: index, to: index + 1 });
    this.next = index + 1;
  }

  lose(count) {
    this.gone.push({ from: this.next, to: this.next + count });
    this.next += count;
  }

  draw(canvas) {
    const context = canvas.getContext('2d');
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `13px ${style.fontFamily}`;
    const x = (index) => Math.round(index / MESSAGES * width);
    const bar = (top, { from, to }, name) => {
      context.fillStyle = colour(name);
      context.fillRect(x(from), top, Math.max(from === to ? 0 : 2, x(to) - x(from)), 14);
    };
    // Hatched: not only a colour says that they are gone.
    const hatch = (top, { from, to }, name) => {
      context.fillStyle = colour(name);
      for (const y of [top, top + 13]) context.fillRect(x(from), y, x(to) - x(from), 1);
      for (let left = x(from); left < x(to); left += 6) context.fillRect(left, top, 1.5, 14);
    };
    const label = (top, text) => {
      context.fillStyle = colour('ink');
      context.fillText(text, 0, top);
    };
    for (const top of [20, 74]) bar(top, { from: 0, to: MESSAGES }, 'line');
    label(12, `The log: ${number(this.published)} published, ${number(this.first)} forgotten`);
    hatch(20, { from: 0, to: this.first }, 'quiet');
    bar(20, { from: this.first, to: this.published }, 'ink');
    label(66, `The reader: got ${number(total(this.delivered))}, was told that ${number(total(this.gone))} are gone`);
    for (const range of this.delivered) bar(74, range, 'sse');
    for (const range of this.gone) hatch(74, range, 'warn');
    context.fillStyle = colour('sse');
    if (this.next > 0) context.fillRect(Math.min(x(this.next), width - 3), 17, 3, 20);
  }
}

const total = (ranges) => ranges.reduce((sum, { from, to }) => sum + to - from, 0);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(url) {
  const response = await fetch(url, { cache: 'no-store' });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${response.status} ${answer.detail ?? ''}`);
  return answer;
}

/** Makes the button do it, on a topic of its own; `tell` hears what came of it. */
export function tooSlow(topic, tell) {
  const [button, canvas] = [find('slow-start'), find('slow-log')];
  const base = new URL('../topics', import.meta.url);
  const url = `${base}/${encodeURIComponent(topic)}`;
  let log = new Log();
  let drawing = false;
  const say = (text) => (find('slow-told').textContent = text);
  const draw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      log.draw(canvas);
    });
  };
  new ResizeObserver(([{ contentRect }]) => {
    fit(canvas, contentRect);
    log.draw(canvas);
  }).observe(canvas);
  for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
    matchMedia(query).addEventListener('change', draw);
  }

  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    log = new Log();
    try {
      const { cursor } = await ask(`${url}?after=latest`);
      say(`The reader takes ${SLOW_MS} ms for each message; meanwhile `
        + `${1000 * BATCH / BATCH_MS} a second are published …`);
      await Promise.all([fill(), look(), read(cursor)]);
      report();
    } catch (error) {
      say(`That did not work: ${error.message}`);
      log.published = MESSAGES; // The others end.
    }
    fetch(url, { method: 'DELETE' }).catch(() => {}); // Nobody wants them any more.
    button.removeAttribute('aria-disabled');
  });

  /** Publishes all, in batches of one request each. */
  async function fill() {
    const headers = { 'Content-Type': 'application/x-ndjson' };
    while (log.published < MESSAGES) {
      const soon = sleep(BATCH_MS);
      const lines = Array.from({ length: BATCH }, (_, line) => (
        JSON.stringify({ topic, data: { index: log.published + line } })));
      const response = await fetch(base, { method: 'POST', headers, body: lines.join('\n') });
      const answer = await response.text();
      if (!response.ok) throw new Error(`${response.status} ${JSON.parse(answer).detail ?? ''}`);
      const refused = answer.split('\n').find((line) => line.includes('"error"'));
      if (refused) throw new Error(JSON.parse(refused).error.detail);
      log.published += BATCH;
      draw();
      await soon;
    }
  }

  /** Sees where the log begins, every now and then. */
  async function look() {
    for (let last = false; !last;) {
      await sleep(LOOK_MS);
      last = log.published >= MESSAGES;
      const { messages } = await ask(`${url}?after=earliest`);
      log.first = messages[0]?.data.index ?? log.first;
      draw();
    }
  }

  /** Long polls, and takes its time; once everything is published it catches up. */
  async function read(cursor) {
    while (log.next < MESSAGES) {
      const answer = await ask(`${url}?after=${cursor}&wait=5`);
      cursor = answer.cursor;
      for (const { count } of answer.gap ?? []) {
        if (count === null) throw new Error('the topic was deleted meanwhile.');
        log.lose(count);
        say(`It asked for what comes next, and was told: ${number(count)} messages are gone. `
          + 'It goes on behind them …');
      }
      for (const { data } of answer.messages) {
        log.deliver(data.index);
        draw();
        if (log.published < MESSAGES) await sleep(SLOW_MS);
      }
    }
  }

  function report() {
    if (log.gone.length === 0) {
      return say(`No gap: this server keeps more than ${number(MESSAGES)} messages of a topic. `
        + 'Slow as it was, the reader got all of them.');
    }
    const [got, gone] = [total(log.delivered), total(log.gone)];
    say('The reader fell behind, and the log, which keeps only so many, forgot '
      + `${number(gone)} messages before it asked for them. The server said so in its next answer ("gap"), and went on with what it still had. `
      + `${number(got)} received + ${number(gone)} declared gone = ${number(got + gone)}, all that was published: `
      + 'nothing twice, and nothing lost in silence.');
    tell(`was too slow: ${number(gone)} messages were declared gone`);
  }
}
