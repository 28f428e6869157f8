// One small reader per wire, each over a client library that others wrote.
//
// A reader pushes `{ data, cursor }`, `{ gap, cursor }` and `{ drain }` into its `inbox`; `ended`
// is resolved when its connection is over. `cursor` is what the client would give back.

import { once } from 'node:events';
import { cleanUp, DEADLINE_MS, Inbox, topicUrl, within } from '../harness.mjs';
import { tool } from '../tools.mjs';

const { WebSocket } = tool('ws');
const { EventSource } = tool('eventsource');

class Reader {
  inbox = new Inbox();

  constructor(after) {
    this.cursor = after;
  }

  /** Opens a reader that is closed when the test `t` ends. */
  static async open(t, base, topics, after) {
    const reader = new this(after);
    cleanUp(t, () => reader.close());
    await within(reader.connect(base, topics), `${this.name} opens`);
    return reader;
  }

  receive(item) {
    if (item.cursor) this.cursor = item.cursor;
    this.inbox.push(item);
  }

  receiveLine(line) {
    switch (line.type) {
      case undefined:
        return this.receive({
          topic: line.topic,
          data: line.encoding === 'base64' ? Buffer.from(line.data, 'base64') : line.data,
          event: line.event,
          cursor: line.cursor ?? line.id,
        });
      case 'gap':
        return this.receive({ gap: [line.topic, line.count], cursor: line.cursor });
      case 'drain':
        return this.receive({ drain: line.retry_ms });
      default:
        throw new Error(`a line of type ${line.type}`);
    }
  }
}

/** Long poll with the built-in fetch, which has no cache: the ETag goes back by hand. */
export class FetchPoll extends Reader {
  #stop = new AbortController();

  async connect(base, topics) {
    this.url = topicUrl(base, topics, { wait: 5 });
    if (!this.cursor) await this.ask(topicUrl(base, topics, { wait: 0 }));
    this.ended = this.loop();
  }

  async ask(url) {
    const headers = this.cursor ? { 'If-None-Match': `"${this.cursor}"` } : {};
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DEADLINE_MS)]);
    const answer = await fetch(url, { headers, signal });
    const body = await answer.json();
    for (const { topic, count } of body.gap ?? []) this.receive({ gap: [topic, count] });
    for (const line of body.messages) this.receiveLine(line);
    this.cursor = answer.headers.get('ETag').replaceAll('"', '');
  }

  async loop() {
    try {
      for (;;) await this.ask(this.url);
    } catch (error) {
      return error;
    }
  }

  async close() {
    this.#stop.abort();
    await this.ended;
  }
}

/** The NDJSON stream as the body of a fetch. */
export class FetchStream extends Reader {
  #stop = new AbortController();

  async connect(base, topics) {
    const headers = { Accept: 'application/x-ndjson' };
    if (this.cursor) headers['Last-Event-ID'] = this.cursor;
    const answer = await fetch(topicUrl(base, topics), { headers, signal: this.#stop.signal });
    const lines = this.lines(answer.body);
    const { value: opening } = await lines.next();
    if (opening?.type !== 'open') throw new Error('the stream did not open');
    this.cursor = opening.cursor;
    this.ended = this.loop(lines);
  }

  async *lines(body) {
    let rest = '';
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
    }
  }

  async loop(lines) {
    try {
      for await (const line of lines) this.receiveLine(line);
      return null;
    } catch (error) {
      return error;
    }
  }

  async close() {
    this.#stop.abort();
    await this.ended;
  }
}

/** The npm package eventsource: it comes back by itself, with the last id. */
export class EventSourceReader extends Reader {
  opened = new Inbox();

  async connect(base, topics) {
    const url = topicUrl(base, topics, { after: this.cursor });
    this.source = new EventSource(url);
    this.source.addEventListener('message', ({ data, lastEventId }) => {
      this.receive({ data, cursor: lastEventId });
    });
    this.source.addEventListener('tidings:gap', ({ data, lastEventId }) => {
      const { topic, count } = JSON.parse(data);
      this.receive({ gap: [topic, count], cursor: lastEventId });
    });
    this.source.addEventListener('tidings:drain', ({ data }) => {
      this.receive({ drain: JSON.parse(data).retry_ms });
    });
    this.source.addEventListener('open', () => this.opened.push('open'));
    await this.opened.atLeast(1);
  }

  async close() {
    this.source?.close();
  }
}

/** `ws` without a subprotocol: payloads only. */
export class RawSocket extends Reader {
  subprotocols = [];

  async connect(base, topics) {
    const url = topicUrl(base, topics, { after: this.cursor }).replace('http', 'ws');
    this.socket = new WebSocket(url, this.subprotocols);
    this.socket.on('message', (data, isBinary) => this.frame(isBinary ? data : data.toString()));
    this.ended = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    await Promise.all([once(this.socket, 'open'), this.greeted()]);
    this.socket.on('error', () => {});
  }

  async greeted() {}

  frame(data) {
    this.receive({ data });
  }

  async close() {
    this.socket?.close();
    await within(this.ended, 'the WebSocket closes');
  }
}

/** `ws` with the subprotocol tidings.json. */
export class JsonSocket extends RawSocket {
  subprotocols = ['tidings.json'];
  answers = new Inbox();

  async greeted() {
    await this.answers.atLeast(1, 'an opening');
  }

  frame(text) {
    const line = JSON.parse(text);
    const isMessage = [undefined, 'gap', 'drain'].includes(line.type);
    if (line.type === 'open') this.cursor = line.cursor;
    if (isMessage) this.receiveLine(line);
    else this.answers.push(line);
  }

  /** Sends one command and returns its answer, found by its `request`. */
  async command(members) {
    const before = this.answers.items.length;
    this.socket.send(JSON.stringify({ ...members, request: before }));
    return (await this.answers.atLeast(before + 1))[before];
  }
}

export const WITH_CURSOR = [FetchPoll, FetchStream, EventSourceReader, JsonSocket];
export const ALL = [...WITH_CURSOR, RawSocket];

/** The payloads of the first `count` items; anything but a message on the way is a failure. */
export async function payloads(reader, count) {
  const items = await reader.inbox.atLeast(count);
  const other = items.find((item) => !('data' in item));
  if (other) throw new Error(`no message: ${JSON.stringify(other)}`);
  return items.map((item) => item.data);
}
