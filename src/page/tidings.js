// The browser client of tidings: one module, no dependencies, no build.
//
//   import { subscribe, publish } from '/tidings.js';
//   const news = subscribe('news', { onMessage: (message) => console.log(message.data) });
//   const id = await publish('news', 'hello');
//
// A subscription is a cursor and a wire. The cursor means the same on every wire; so if one breaks
// or cannot be had, the next goes on from it: nothing is missed or repeated. [n]: docs/protocol.md

const WIRES = { websocket, ndjson, sse, 'long-poll': longPoll, poll };
// Tried in this order until one opens. NDJSON and not SSE, because an SSE event has no room for the
// topic, time and kind of a message: `data` would change its type with the wire.
const AUTO = ['websocket', 'ndjson', 'long-poll'];
const OPEN_MS_MAX = 10_000; // A wire that has said nothing by then does not get through.
const SILENCE_MS_MAX = 60_000; // Several heartbeats [9.4]; then the connection is taken for dead.
const STEADY_MS = 10_000; // A connection that held this long ends a series of failures.
const PING_MS = 25_000; // Scripts cannot see WebSocket pings, so they have to send their own.

// Subscribes to a topic, or to an array of topics. Options:
//   via        'auto' (default), 'websocket', 'ndjson', 'sse', 'long-poll' or 'poll'
//   after      a cursor from before, 'earliest' or 'latest' (default)
//   url        where the server is, with a slash at the end; default: where this module came from
//   onMessage  called with { topic, id, time, event?, content_type?, encoding?, data } [2.3]; over
//              'sse' without time, data always a string, and topic only if there is but one
//   onGap      called with { topic, count }: messages that are gone; count is null if unknown
//   onState    called with 'connecting', 'open', 'waiting' or 'closed', { via, retryMs?, error? }
// Returns { close(), cursor, requests }: the cursor behind the last message handed over, and how
// many requests were made. It closes by itself only if the server says that the request is wrong.
export function subscribe(topics, { via = 'auto', after, url, onMessage, onGap, onState } = {}) {
  const wires = via === 'auto' ? AUTO : [via];
  if (!Object.hasOwn(WIRES, wires[0])) throw new TypeError(`there is no wire "${via}"`);
  const names = [...new Set([topics].flat())];
  const address = topicAddress(names, url);
  let [cursor, requests, closed] = [after ?? 'latest', 0, false];
  let attempt = new AbortController(); // Ends the connection, or the wait for the next one.

  // What a wire sees. It may leave behind `retryMs`, when to come back, and `error`, why it ended.
  const newLink = (via) => ({
    via,
    topic: names.length === 1 ? names[0] : undefined,
    signal: attempt.signal,
    opened: false,
    heardAt: performance.now(), // When the server last sent anything.
    request(parameters) {
      requests += 1;
      address.search = new URLSearchParams({ after: cursor, ...parameters });
      return new URL(address);
    },
    open(at) {
      pass(at, !this.opened && (() => tell('open')));
      this.opened = true;
    },
    // With several topics a message has a cursor beside its id [2.3].
    message: (message) => pass(message.cursor ?? message.id, onMessage, message),
    gap: ({ topic, count, cursor: behind }) => pass(behind, onGap, { topic, count }),
  });
  let link = newLink(wires[0]);
  const pass = (at, callback, value) => {
    if (!closed) cursor = at ?? cursor;
    if (!closed && callback) call(callback, value);
  };
  const tell = (state, more) => onState && call(onState, state, { via: link.via, ...more });
  const close = (error) => {
    if (closed) return;
    closed = true;
    attempt.abort();
    tell('closed', error && { error });
  };
  queueMicrotask(async () => { // Not before the caller has what is returned.
    let [wire, proven, failures] = [0, -1, 0]; // `proven` is the wire that opened last.
    while (!closed) { // One turn is one connection's life.
      const startedAt = performance.now();
      tell('connecting');
      const watch = setInterval(() => {
        const deadline = link.heardAt + (link.opened ? SILENCE_MS_MAX : OPEN_MS_MAX);
        if (performance.now() > deadline) attempt.abort(new Error('silence'));
      }, 1000);
      await WIRES[link.via](link).catch((error) => (link.error ??= error));
      clearInterval(watch);
      attempt.abort(); // Whatever is left of the connection.
      if (closed || link.error?.final) return close(link.error);
      attempt = new AbortController();
      if (link.opened) proven = wire;
      if (link.opened && performance.now() - startedAt > STEADY_MS) failures = 0;
      // A wire that cannot connect, and not because the server is away for a moment: move on.
      const away = link.opened || link.retryMs !== undefined || (wire === proven && failures < 3);
      if (!away) wire = (wire + 1) % wires.length;
      if (away || wire === 0) {
        const retryMs = link.retryMs ?? backOff(failures++);
        tell('waiting', { retryMs, error: link.error });
        await sleep(retryMs, attempt.signal);
      }
      link = newLink(wires[wire]);
    }
  });
  return {
    close: () => close(),
    get cursor() { return cursor; },
    get requests() { return requests; },
  };
}

// Publishes one message and returns its id. A string is sent as text, a Blob or buffer as binary,
// anything else as JSON. If the answer is lost it throws, and nobody knows; with the same `key` (1
// to 128 visible ASCII characters, new for each message) it may then safely be called again [5.2].
export async function publish(topic, data, { event, key, url } = {}) {
  const address = topicAddress([topic], url);
  if (event !== undefined) address.searchParams.set('event', event);
  const binary = data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const body = binary || typeof data === 'string' ? data : JSON.stringify(data);
  const type = binary ? data.type || 'application/octet-stream'
    : body === data ? 'text/plain; charset=utf-8' : 'application/json';
  const headers = { 'Content-Type': type, ...(key !== undefined && { 'Idempotency-Key': key }) };
  const response = await fetch(address, { method: 'POST', headers, body });
  if (response.ok) return (await response.json()).id;
  throw await refusal(response);
}

// The wires. Each runs until its connection ends; `subscribe` decides what comes next.
async function websocket(link) {
  const target = link.request();
  target.protocol = target.protocol.replace('http', 'ws');
  const socket = new WebSocket(target, 'tidings.json');
  const ping = setInterval(() => socket.send('{"type":"ping"}'), PING_MS);
  socket.onmessage = ({ data }) => receive(link, data);
  const { code, reason } = await new Promise((resolve) => {
    socket.onclose = link.signal.onabort = resolve;
  });
  clearInterval(ping);
  socket.onmessage = null;
  socket.close();
  const told = /^retry_ms=(\d+)$/.exec(reason); // With code 1012 [11.7].
  if (told) link.retryMs = Number(told[1]);
  throw link.signal.reason ?? new Error(`the WebSocket was closed: ${code} ${reason}`);
}

async function ndjson(link) {
  const response = await get(link, 'application/x-ndjson');
  await eachLine(link, response, (line) => line && receive(link, line)); // Empty: a heartbeat.
}

// EventSource would do, but it hides refusals, and events whose name one did not ask for.
async function sse(link) {
  const response = await get(link, 'text/event-stream');
  let [id, event, data] = [undefined, '', []];
  await eachLine(link, response, (line) => {
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id') id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) link.retryMs = Number(value);
    if (line !== '') return;
    const text = data.join('\n'); // A blank line ends the event.
    if (data.length === 0) id && link.open(id); // An id alone is how a stream opens [9.1].
    else if (event === 'tidings:gap') link.gap({ ...JSON.parse(text), cursor: id });
    else if (event === 'tidings:drain') link.retryMs = JSON.parse(text).retry_ms;
    else if (event === 'tidings:refused') link.error = problem(JSON.parse(text));
    else link.message({ topic: link.topic, id, ...(event && { event }), data: text });
    [event, data] = ['', []]; // The id stays (HTML §9.2.6).
  });
}

async function longPoll(link) {
  // The first is not held: it says whether the wire works, and where in the log we are.
  for (let wait = 0; ; wait = 25) {
    const soon = performance.now() + 1000;
    const { messages, gap } = await readPage(link, { wait });
    // Nothing, and too soon: a drain, or somebody in between who does not wait. Do not spin.
    const idle = wait && !gap && messages.length === 0;
    if (idle && performance.now() < soon) await sleep(backOff(0), link.signal);
  }
}

async function poll(link) {
  for (;;) if (!(await readPage(link)).more) await sleep(1000, link.signal);
}

async function get(link, type, parameters) {
  const options = { headers: { Accept: type }, cache: 'no-store', signal: link.signal };
  const response = await fetch(link.request(parameters), options);
  link.heardAt = performance.now();
  if (response.ok && response.headers.get('Content-Type')?.startsWith(type)) return response;
  const error = await refusal(response);
  link.retryMs = error.retryMs;
  throw error;
}

async function readPage(link, parameters) {
  const page = await (await get(link, 'application/json', parameters)).json();
  link.open();
  page.gap?.forEach((gap) => link.gap(gap));
  page.messages.forEach((message) => link.message(message));
  link.open(page.cursor);
  return page;
}

// A line of NDJSON or a text frame of `tidings.json`: they are the same [10.2, 11.3].
function receive(link, line) {
  link.heardAt = performance.now();
  const value = JSON.parse(line);
  if (value.type === undefined) link.message(value);
  if (value.type === 'open') link.open(value.cursor);
  if (value.type === 'gap') link.gap(value);
  if (value.type === 'drain' || value.type === 'refused') link.retryMs = value.retry_ms;
  if (value.type === 'refused') link.error = problem(value);
}

// Calls `take` with each line, wherever the network cut it. Lines end in CRLF, LF or CR.
async function eachLine(link, response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return; // A line without its end is half of something; the cursor is still before it.
    link.heardAt = performance.now();
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/); // A CR at the end may be half a CRLF.
    rest = lines.pop();
    lines.forEach(take);
  }
}

function topicAddress(names, url) {
  const path = names.map(encodeURIComponent).join(',');
  // Browsers resolve these in a URL, however they are written.
  if (['', '.', '..'].includes(path)) throw new TypeError(`browsers cannot ask for "${path}"`);
  return new URL(`topics/${path}`, new URL(url ?? import.meta.url, globalThis.location?.href));
}

// Final is what this server calls wrong; what a proxy says may be otherwise in a minute.
async function refusal(response) {
  const known = response.headers.get('Content-Type')?.startsWith('application/problem+json');
  const error = problem(known ? await response.json() : { status: response.status });
  error.final = known && error.status < 500 && ![408, 429].includes(error.status);
  error.retryMs = Number(response.headers.get('Retry-After')) * 1000 || undefined;
  return error;
}
const problem = ({ status, title = '', detail = '' }) =>
  Object.assign(new Error(`${status} ${title} ${detail}`), { status });

// Full jitter: clients that lost the same server at the same time do not come back together.
const backOff = (failures) => Math.random() * Math.min(30_000, 1000 * 2 ** failures);

const sleep = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.onabort = () => resolve(clearTimeout(timer));
});

// What the application throws is its own affair: it must not end the connection.
function call(callback, ...values) {
  try { callback(...values); } catch (error) { reportError(error); }
}
