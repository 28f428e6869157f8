// The browser client of tidings: one file, no dependencies, no build. It runs under Node as well.
//
//   import { subscribe, publish } from '/tidings.js';
//   const news = subscribe('news', { onMessage: (message) => console.log(message.data) });
//   const id = await publish('news', 'hello');
//
// A subscription is a cursor and a wire. The cursor means the same on every wire; so if one breaks
// or cannot be had, the next goes on from it: nothing is missed or repeated. [n]: docs/protocol.md

const WIRES = { websocket, sse, ndjson, 'long-poll': longPoll, poll };
// From the best to the one that always works. SSE and not NDJSON, which says the same: what lies in
// between may know text/event-stream as something to pass on at once. With the envelope [9.2], so
// that a message is the same on every wire; and by fetch, as EventSource hides refusals, heartbeats
// and the number of bytes.
const AUTO = ['websocket', 'sse', 'long-poll', 'poll'];
const OPEN_MS_MAX = 3000; // A wire that has said nothing by then does not get through; or all are
// slow here: when none did, each has twice the time, and then four times.
const SILENCE_MS_MAX = 75_000; // Several heartbeats [9.4], and more than a hidden tab's minute.
const STEADY_MS = 10_000; // A connection that held this long ends a series of failures.
const STRIKES_MAX = 3; // So often may a wire fail that has worked, until another one is tried.
const REST_MS_MIN = 60_000; // A wire that failed where another one worked is left alone for this
const REST_MS_MAX = 1_800_000; // long at first, and twice as long each time, up to this.
const PING_MS = 25_000; // Scripts cannot see WebSocket pings, so they have to send their own,
const PONG_MS_MAX = 10_000; // and are answered by then.
const PUBLISH_MS_MAX = 30_000; // Well within the time that the server knows a key for [5.2].

// Subscribes to a topic, or to an array of topics. Options:
//   via        'auto' (default), 'websocket', 'sse', 'ndjson', 'long-poll' or 'poll'
//   after      a cursor from before, 'earliest' or 'latest' (default)
//   last       a number instead of `after`: begin so many messages before the head
//   url        where the server is, with a slash at the end; default: where this file came from
//   onMessage  called with { topic, id, time, event?, content_type?, encoding?, data } [2.3]
//   onGap      called with { topic, count }: messages that are gone; count is null if unknown
//   onState    called with 'connecting', 'open', 'waiting', 'paused' or 'closed', and with
//              { via, retryMs?, error? }
//   pauseWhenHidden  if true, a page that nobody sees has no connection; it resumes with the cursor
//   share      if true, tabs of this origin that ask the same server have one connection together,
//              where the browser can do that; each has its own cursor all the same
//   signal     an AbortSignal that closes it
// Returns { close(), cursor, state, via, requests, bytes, reconnects }: the cursor is behind the
// last message handed over, `bytes` are those of bodies that were received, and `reconnects` says
// how often there was a connection again after one that had been open. It closes by itself only if
// the server says that the request is wrong.
function subscribe(topics, options = {}) {
  const names = [...new Set([topics].flat())];
  const canShare = globalThis.navigator?.locks && globalThis.BroadcastChannel;
  const isShared = options.share && canShare; // Browsers have locks for https: and localhost only.
  return new (isShared ? SharedSubscription : Subscription)(names, options);
}

// The wires to try, from the best on; it throws if there is none.
function wires(via = 'auto') {
  if (via !== 'auto' && !Object.hasOwn(WIRES, via)) throw new TypeError(`no wire "${via}"`);
  const here = (via === 'auto' ? AUTO : [via])
    .filter((via) => via !== 'websocket' || globalThis.WebSocket);
  if (here.length === 0) throw new TypeError('there is no WebSocket here');
  return here;
}

class Subscription {
  requests = 0;
  bytes = 0;
  reconnects = 0;
  state = 'connecting';
  via; // The wire in use.
  #options;
  #tally; // Where requests, bytes and reconnects are counted.
  #address;
  #position;
  #wires;
  #attempt = new AbortController(); // Ends the connection, or the wait for the next one.
  #end = new AbortController();
  #proven = new Set(); // Wires that have opened once.
  #failed = new Set(); // Those that failed since the last one that opened.
  #strikes = 0; // Failures in a row of the wire in use,
  #failures = 0; // and of whichever.
  #toldMs = 0; // How long the server wants us to stay away when a connection is lost,
  #notBefore = 0; // and when that was over.
  #isUnloaded = false;
  #isTrying = false;

  constructor(names, options) {
    const { via, after, last, url, signal, tally = this } = options;
    this.#options = options;
    this.#tally = tally;
    this.#address = topicAddress(names, url);
    this.#position = new Position(names, after, last);
    this.#wires = wires(via);
    this.via = this.#choose();
    signal?.addEventListener('abort', () => this.close(), { signal: this.#end.signal });
    for (const [target, type] of [
      [globalThis, 'online'], [globalThis, 'pagehide'], [globalThis, 'pageshow'],
      [globalThis.document, 'visibilitychange'],
    ]) target?.addEventListener?.(type, this, { signal: this.#end.signal });
    // Not before the caller has what is returned.
    queueMicrotask(() => (signal?.aborted ? this.close() : this.#run()));
  }

  get cursor() { return this.#position.text; }

  close() { this.#close(); }

  handleEvent({ type }) {
    if (type === 'pagehide' || type === 'pageshow') this.#isUnloaded = type === 'pagehide';
    if (type === 'online') {
      rests.clear(); // It may be another network,
      this.#failed.clear();
      this.#failures = 0;
      this.#attempt.abort(INTERRUPTED); // where what is left of the old one is of no use.
    } else if (this.#isHidden !== (this.state === 'paused')) {
      this.#attempt.abort(INTERRUPTED);
    }
  }

  // A page that was left may be kept, to be shown again, only if it has no connections.
  get #isHidden() {
    const { pauseWhenHidden } = this.#options;
    return this.#isUnloaded || Boolean(pauseWhenHidden && globalThis.document?.hidden);
  }

  #close(error) {
    if (this.state === 'closed') return;
    this.#end.abort();
    this.#tell('closed', error && { error });
    this.#attempt.abort(INTERRUPTED);
  }

  #tell(state, more) {
    this.state = state;
    call(this.#options.onState, state, { via: this.via, ...more });
  }

  // Every turn is a connection's life, or a wait.
  async #run() {
    while (this.state !== 'closed') {
      this.#attempt = new AbortController();
      const tooSoonMs = this.#notBefore - performance.now();
      if (this.#isHidden) {
        if (this.state !== 'paused') this.#tell('paused');
        await sleep(undefined, this.#attempt.signal);
      } else if (tooSoonMs > 0) {
        if (this.state !== 'waiting') this.#tell('waiting', { retryMs: tooSoonMs });
        await sleep(tooSoonMs, this.#attempt.signal);
      } else {
        this.via = this.#choose();
        this.#tell('connecting');
        if (!this.#attempt.signal.aborted) await this.#goOn(await this.#live());
      }
    }
  }

  async #live() {
    const attempt = this.#attempt;
    const link = this.#newLink(this.via, attempt.signal, {
      open: (cursor) => this.#open(link, cursor),
      message: (message) => this.#pass('onMessage', message),
      gap: ({ topic, count, cursor }) => this.#pass('onGap', { topic, count }, cursor),
    });
    let tickedAt = performance.now();
    const watch = setInterval(() => {
      const now = performance.now();
      const slept = now - tickedAt > STEADY_MS; // The machine or the tab: not the wire's fault.
      tickedAt = now;
      const openMsMax = OPEN_MS_MAX * 2 ** Math.min(this.#failures, 2);
      if (now - link.heardAt > (link.openedAt === undefined ? openMsMax : SILENCE_MS_MAX)) {
        link.isBlocked = !slept;
        attempt.abort(new Error('the server is not heard'));
      } else if (link.openedAt !== undefined) {
        this.#tryBetter(attempt);
      }
    }, 500);
    await WIRES[this.via](link).catch((error) => (link.error ??= error));
    clearInterval(watch);
    attempt.abort(); // Whatever is left of the connection.
    return link;
  }

  #newLink(via, signal, hooks) {
    return new Link(via, signal, hooks, {
      request: (parameters) => {
        this.#tally.requests += 1;
        const url = new URL(this.#address);
        url.search = new URLSearchParams({ ...this.#position.query, ...parameters });
        return url;
      },
      count: (bytes) => (this.#tally.bytes += bytes),
    });
  }

  #open(link, cursor) {
    if (this.state === 'closed') return;
    this.#position.move(cursor);
    if (cursor !== undefined) call(this.#options.onCursor, cursor);
    if (link.openedAt !== undefined || this.state === 'closed') return;
    link.openedAt = performance.now();
    if (this.#proven.size > 0) this.#tally.reconnects += 1;
    this.#proven.add(link.via);
    // That these failed is not for want of a network.
    this.#failed.forEach((via) => rest(this.#address, via));
    this.#failed.clear();
    this.#tell('open');
  }

  #pass(callback, value, cursor) {
    if (this.state === 'closed') return;
    if (value.id !== undefined) this.#position.set(value.topic, value.id);
    this.#position.move(cursor);
    call(this.#options[callback], value);
  }

  // After a connection: the same wire or another one, at once or later.
  async #goOn(link) {
    const now = performance.now();
    const opened = link.openedAt !== undefined;
    if (this.state === 'closed' || link.error?.final) return this.#close(link.error);
    if (opened && now - link.openedAt > STEADY_MS) {
      this.#failures = this.#strikes = 0;
      rests.delete(restKey(this.#address, link.via));
    }
    if (link.signal.reason === INTERRUPTED) return;
    if (opened || link.retryMs !== undefined) this.#toldMs = link.retryMs ?? 0;
    this.#notBefore = now + this.#toldMs;
    if (!link.isGoodbye) this.#strikes += 1;
    const isOut = this.#strikes >= (this.#proven.has(link.via) ? STRIKES_MAX : 1);
    if (isOut || link.isBlocked) {
      this.#failed.add(link.via);
      this.#strikes = 0;
      if (this.#failed.size < this.#wires.length) return;
      this.#failed.clear();
    }
    const retryMs = Math.max(this.#toldMs, backOff(this.#failures++));
    this.#attempt = new AbortController();
    this.#tell('waiting', { retryMs, error: link.error });
    if (this.state !== 'closed') await sleep(retryMs, this.#attempt.signal);
  }

  #choose() {
    const left = this.#wires.filter((via) => !this.#failed.has(via));
    return left.find((via) => !isResting(this.#address, via)) ?? left[0];
  }

  // A better wire may have rested enough, and what was in its way be gone. It is tried beside the
  // one in use, so that no message waits for the outcome.
  async #tryBetter(attempt) {
    const better = this.#wires.slice(0, this.#wires.indexOf(this.via))
      .find((via) => !isResting(this.#address, via));
    if (!better || this.#isTrying) return;
    this.#isTrying = true;
    const trial = new AbortController();
    const works = await new Promise((resolve) => {
      const nothing = () => {};
      const hooks = { open: () => resolve(true), message: nothing, gap: nothing };
      const link = this.#newLink(better, trial.signal, hooks);
      WIRES[better](link).catch(nothing).then(() => resolve(false));
      sleep(OPEN_MS_MAX * 2, attempt.signal).then(() => resolve(false));
    });
    trial.abort();
    this.#isTrying = false;
    if (attempt.signal.aborted) return;
    if (works) attempt.abort(INTERRUPTED);
    else rest(this.#address, better);
  }
}

// What tabs do together is in a file of its own, for pages that ask for it. Until it is there,
// nothing happens; without it, the tab has a connection of its own.
class SharedSubscription {
  requests = 0;
  bytes = 0;
  reconnects = 0;
  #carrier;

  constructor(names, options) {
    const { via, after, url, signal } = options;
    topicAddress(names, url);
    const ended = new AbortController();
    const end = () => this.close();
    const ownOptions = { ...options, tally: this, onState: (state, detail) => {
      if (state === 'closed') ended.abort();
      call(options.onState, state, detail);
    } };
    const goAlone = (cursor) => (this.#carrier = new Subscription(names, {
      ...ownOptions, after: cursor === 'latest' ? after : cursor,
    }));
    this.#carrier = {
      state: 'connecting', via: wires(via)[0], cursor: after ?? 'latest',
      close() {
        this.state = 'closed';
        ownOptions.onState('closed', { via: this.via });
      },
    };
    signal?.addEventListener('abort', end, { signal: ended.signal });
    import(new URL('tidings-share.js', home)).then(({ Member }) => {
      if (ended.signal.aborted) return;
      const member = new Member(names, ownOptions, CORE, this, goAlone);
      (this.#carrier = member).start();
    }).catch(() => ended.signal.aborted || goAlone('latest'));
    if (signal?.aborted) queueMicrotask(end);
  }

  get state() { return this.#carrier.state; }

  get via() { return this.#carrier.via; }

  get cursor() { return this.#carrier.cursor; }

  close() { if (this.state !== 'closed') this.#carrier.close(); }
}

// Publishes one message and returns its id. A string is sent as text, a Blob or buffer as binary,
// anything else as JSON, unless `contentType` says otherwise. What is refused for now, or whose
// answer is lost, is sent again for half a minute, with the same key: it is published once [5.2].
// Options: event, key (1 to 128 visible ASCII characters), contentType, url, signal.
async function publish(topic, data, options = {}) {
  const { event, key = randomKey(), contentType, url, signal } = options;
  const address = topicAddress([topic], url);
  if (event !== undefined) address.searchParams.set('event', event);
  const isBinary = data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const isText = typeof data === 'string';
  const type = isBinary ? data.type || 'application/octet-stream'
    : isText ? 'text/plain; charset=utf-8' : 'application/json';
  const headers = new Headers({ 'Content-Type': contentType ?? type, 'Idempotency-Key': key });
  const body = isBinary || isText ? data : JSON.stringify(data);
  const send = async () => {
    const response = await fetch(address, { method: 'POST', headers, body, signal });
    if (response.ok) return (await response.json()).id;
    throw await refusal(response);
  };
  const end = performance.now() + PUBLISH_MS_MAX;
  for (let failures = 0; ; failures += 1) {
    try {
      return await send();
    } catch (error) {
      const isForNow = [undefined, 408, 429, 500, 502, 503, 504].includes(error.status);
      const retryMs = Math.max(error.retryMs ?? 0, backOff(failures));
      if (!isForNow || signal?.aborted || performance.now() + retryMs > end) throw error;
      await sleep(retryMs, signal);
    }
  }
}

// A look-alike of EventSource, for code that is written for one: `new TidingsEventSource(url)`, or
// with the options of `subscribe` behind. It falls back where EventSource would not get through.
class TidingsEventSource extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  CONNECTING = 0;
  OPEN = 1;
  CLOSED = 2;
  readyState = 0;
  withCredentials = false;
  onopen = null;
  onmessage = null;
  onerror = null;
  #subscription;

  constructor(url, options) {
    super();
    const address = new URL(url, globalThis.location?.href ?? home);
    const [, base, path] = /^(.*\/)topics\/([^/]+)$/.exec(address.pathname) ?? [];
    if (!path) throw new TypeError('the URL has to end in /topics/ and a topic');
    this.url = address.href;
    this.#subscription = subscribe(path.split(',').map(decodeURIComponent), {
      after: address.searchParams.get('after') ?? undefined,
      last: address.searchParams.get('last') ?? undefined,
      ...options,
      url: new URL(base, address),
      onMessage: (message) => this.#hear(message.event ?? 'message', asPayload(message)),
      onGap: (gap) => this.#hear('tidings:gap', JSON.stringify(gap)),
      onState: (state, { error }) => {
        this.readyState = state === 'open' ? 1 : state === 'closed' ? 2 : 0;
        if (state === 'open') this.#dispatch(new Event('open'));
        else if (state === 'waiting' || error) this.#dispatch(new Event('error'));
      },
    });
  }

  get lastEventId() { return this.#subscription.cursor; }

  close() { this.#subscription.close(); }

  #hear(type, data) {
    const { origin } = new URL(this.url);
    this.#dispatch(new MessageEvent(type, { data, origin, lastEventId: this.lastEventId }));
  }

  #dispatch(event) {
    if (['open', 'message', 'error'].includes(event.type)) call(this[`on${event.type}`], event);
    this.dispatchEvent(event);
  }
}

// Where a subscription is. The cursor of several topics is those of each, joined in the order of
// their names' bytes [3.4]; so it can be kept up to date with the `id` of a message.
class Position {
  #names;
  #parts = new Map();
  #start; // What the caller gave, until the server has given something better.
  #last;

  constructor(names, after, last) {
    this.#names = [...names].sort(inByteOrder);
    this.move(after ?? 'latest');
    if (after === undefined) this.#last = last;
  }

  get text() { return this.#start ?? this.#names.map((name) => this.#parts.get(name)).join('.'); }

  get query() { return this.#last === undefined ? { after: this.text } : { last: this.#last }; }

  // Takes a cursor for all topics.
  move(cursor) {
    if (cursor === undefined) return;
    const parts = cursor.split('.');
    const isWhole = parts.length === this.#names.length && cursor.includes('-');
    this.#start = isWhole ? undefined : cursor;
    this.#last = undefined;
    if (isWhole) this.#names.forEach((name, index) => this.#parts.set(name, parts[index]));
  }

  // Takes the id of one topic's message.
  set(topic, id) {
    this.#parts.set(topic, id);
    this.#last = undefined;
    if (this.#parts.size === this.#names.length) this.#start = undefined;
  }

  get(topic) { return this.#parts.get(topic); }
}

// A connection, as its wire sees it.
class Link {
  openedAt; // When the first word of the server came through.
  heardAt = performance.now(); // When its last one came.
  retryMs; // When it wants us back,
  isGoodbye = false; // and whether that was its last word.
  isBlocked = false; // Connected, but nothing comes through.
  error; // Why it ended.

  constructor(via, signal, hooks, { request, count }) {
    Object.assign(this, { via, signal, ...hooks, request, count });
  }

  heard(bytes) {
    this.heardAt = performance.now();
    this.count(bytes);
  }

  goodbye(retryMs, error) {
    Object.assign(this, { retryMs, isGoodbye: true, error });
  }
}

// The wires. Each runs until its connection ends.

async function websocket(link) {
  const target = link.request();
  target.protocol = target.protocol.replace('http', 'ws');
  const socket = new WebSocket(target, 'tidings.json');
  const timers = [];
  try {
    const { code, reason } = await new Promise((resolve, reject) => {
      socket.onclose = link.signal.onabort = resolve;
      socket.onerror = () => {}; // The close comes anyway; under Node somebody has to listen.
      socket.onmessage = ({ data }) => {
        link.heard(encoder.encode(data).length);
        try { receive(link, data); } catch (error) { reject(error); }
      };
      timers[0] = setInterval(() => {
        if (socket.readyState !== WebSocket.OPEN) return;
        const sentAt = performance.now();
        socket.send('{"type":"ping"}');
        timers[1] = setTimeout(() => {
          if (link.heardAt < sentAt) reject(new Error('the server does not answer a ping'));
        }, PONG_MS_MAX);
      }, PING_MS);
    });
    const told = /^retry_ms=(\d+)$/.exec(reason); // With code 1012 [11.7].
    if (told) link.goodbye(Number(told[1]));
    link.signal.throwIfAborted();
    // A browser does not say why there is no connection; the server does, if it is asked again.
    if (link.openedAt === undefined && !told) await get(link, 'application/json', LATEST);
    throw new Error(`the WebSocket was closed: ${code} ${reason}`);
  } finally {
    timers.forEach((timer) => clearTimeout(timer));
    socket.onmessage = null;
    socket.close();
  }
}

async function sse(link) {
  const response = await get(link, 'text/event-stream', { envelope: '' });
  let [id, event, data] = [undefined, '', []];
  await eachLine(link, response, (line) => {
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id') id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) link.retryMs = Number(value);
    if (line !== '') return; // A blank line ends the event.
    const said = data.length > 0 && JSON.parse(data.join('\n'));
    if (!said) id && link.open(id); // An id alone is how a stream opens [9.1].
    else if (event === 'tidings:gap') link.gap({ ...said, cursor: id });
    else if (event === 'tidings:drain') link.goodbye(said.retry_ms);
    else if (event === 'tidings:refused') link.goodbye(link.retryMs, problem(said));
    else link.message(said);
    [event, data] = ['', []]; // The id stays (HTML §9.2.6).
  });
}

async function ndjson(link) {
  const response = await get(link, 'application/x-ndjson');
  await eachLine(link, response, (line) => line && receive(link, line)); // Empty: a heartbeat.
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
  link.heard(0);
  if (response.ok && response.headers.get('Content-Type')?.startsWith(type)) return response;
  const error = await refusal(response);
  if (error.retryMs !== undefined) link.goodbye(error.retryMs);
  throw error;
}

async function readPage(link, parameters) {
  const bytes = await (await get(link, 'application/json', parameters)).arrayBuffer();
  link.heard(bytes.byteLength);
  const page = JSON.parse(new TextDecoder().decode(bytes));
  link.open();
  page.gap?.forEach((gap) => link.gap(gap));
  page.messages.forEach((message) => link.message(message));
  link.open(page.cursor);
  return page;
}

// A line of NDJSON or a text frame of `tidings.json`: they are the same [10.2, 11.3].
function receive(link, line) {
  const value = JSON.parse(line);
  const { cursor, ...message } = value; // With several topics, a message has both [2.3].
  if (value.type === undefined) link.message(message);
  if (value.type === 'open') link.open(cursor);
  if (value.type === 'gap') link.gap(value);
  if (value.type === 'drain') link.goodbye(value.retry_ms);
  if (value.type === 'refused') link.goodbye(value.retry_ms, problem(value));
}

// Calls `take` with each line, wherever the network cut it. Lines end in CRLF, LF or CR.
async function eachLine(link, response, take) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (let rest = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return; // A line without its end is half of something; the cursor is still before it.
    link.heard(value.length);
    const text = rest + decoder.decode(value, { stream: true });
    const lines = text.split(/\r\n|\n|\r(?!$)/); // A CR at the end may be half a CRLF.
    rest = lines.pop();
    lines.forEach(take);
  }
}

function topicAddress(names, url) {
  const path = names.map(encodeURIComponent).join(',');
  // Browsers resolve these in a URL, however they are written.
  if (['', '.', '..'].includes(path)) throw new TypeError(`browsers cannot ask for "${path}"`);
  const address = new URL(`topics/${path}`, new URL(url ?? home, globalThis.location?.href));
  if (!address.protocol.startsWith('http')) throw new TypeError('`url` has to say where it is');
  return address;
}

// Final is what this server calls wrong; what a proxy says may be otherwise in a minute.
async function refusal(response) {
  const known = response.headers.get('Content-Type')?.startsWith('application/problem+json');
  const error = problem(known ? await response.json() : { status: response.status });
  error.final = known && error.status < 500 && ![408, 429].includes(error.status);
  error.retryMs = Number(response.headers.get('Retry-After')) * 1000 || undefined;
  return error;
}
const problem = ({ status, title = '', detail = '', type }) =>
  Object.assign(new Error(`${status} ${title} ${detail}`), { status, type });

// What was found out about wires, by server, for the next subscription too: { ms, until }.
const rests = new Map();
const restKey = ({ origin }, via) => `${via} ${origin}`;
const isResting = (address, via) => rests.get(restKey(address, via))?.until > performance.now();
function rest(address, via) {
  const before = rests.get(restKey(address, via))?.ms;
  const ms = Math.min(REST_MS_MAX, before ? before * 2 : REST_MS_MIN);
  rests.set(restKey(address, via), { ms, until: performance.now() + ms });
}

const LATEST = { after: 'latest' };

// Full jitter: clients that lost the same server at the same time do not come back together.
const backOff = (failures) => Math.random() * Math.min(30_000, 1000 * 2 ** failures);

// Until the signal is aborted, or the time is over if there is one.
const sleep = (ms, signal) => new Promise((resolve) => {
  if (signal?.aborted) return resolve();
  const timer = ms !== undefined && setTimeout(wake, ms);
  signal?.addEventListener('abort', wake);
  function wake() {
    clearTimeout(timer);
    signal?.removeEventListener('abort', wake);
    resolve();
  }
});

// The reason of an end that is nobody's fault.
const INTERRUPTED = new DOMException('interrupted', 'AbortError');

// What the application throws is its own affair: it must not end the connection.
function call(callback, ...values) {
  try { callback?.(...values); } catch (error) { (globalThis.reportError ?? console.error)(error); }
}

const encoder = new TextEncoder();
const inByteOrder = (one, other) => {
  const [a, b] = [one, other].map((name) => encoder.encode(name));
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at === -1 ? -1 : a[at] - (b[at] ?? -1);
};
const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join('-');
// The text that an EventSource would have given.
const asPayload = ({ data, content_type: type = '' }) =>
  typeof data === 'string' && !type.includes('json') ? data : JSON.stringify(data);

// What /tidings-share.js builds on.
const CORE = {
  Subscription, Position, Link, readPage, topicAddress, wires, backOff, call, randomKey,
};

// What follows is the module's own; /tidings.classic.js ends otherwise.
const home = import.meta.url;
export { subscribe, publish, TidingsEventSource };
