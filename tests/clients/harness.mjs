// Starts the real server, and a proxy that can cut: what the Node and Chromium suites stand on.
//
// The same as harness.py, for JavaScript. Every wait has a deadline.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const DEADLINE_MS = 10_000;

const BINARY = process.env.TIDINGS_BIN
  ?? fileURLToPath(new URL('../../target/release/tidings', import.meta.url));
const LISTENING = /listening on (http:\/\/\S+?)\/?(\s|$)/;

/** `promise`, or an error that says what did not happen in time. */
export function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const undoLists = new WeakMap();

/** Does `undo` when the test `t` ends, however it ends; what was set up last is undone first. */
export function cleanUp(t, undo) {
  if (!undoLists.has(t)) {
    const list = [];
    undoLists.set(t, list);
    t.after(async () => {
      const results = [];
      for (const undo of list.reverse()) results.push(...(await Promise.allSettled([undo()])));
      const failed = results.find(({ status }) => status === 'rejected');
      if (failed) throw failed.reason;
    });
  }
  undoLists.get(t).push(undo);
}

// Whatever ends this process, its servers end with it.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(143));

/** One `tidings serve` on loopback, on a port chosen by the system. */
export class Server {
  /** A server of the test's own, stopped with it. */
  static async for(t, ...flags) {
    const server = await Server.start(...flags);
    cleanUp(t, () => server.stop());
    return server;
  }

  static async start(...flags) {
    const server = new Server();
    server.flags = ['--workers', '2', ...flags.map(String)];
    server.port = 0;
    await server.start();
    return server;
  }

  /** Starts it; a second start listens on the port of the first. */
  async start() {
    this.log = [];
    this.process = spawn(
      BINARY,
      ['serve', '--listen', `127.0.0.1:${this.port}`, ...this.flags],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, TIDINGS_CONFIG: 'none', RUST_LOG: 'info', RUST_BACKTRACE: '1' },
      },
    );
    const child = this.process;
    running.add(child);
    this.ended = once(child, 'close').then(([code, signal]) => {
      running.delete(child);
      return code ?? signal;
    });
    const listening = new Promise((resolve, reject) => {
      this.process.on('error', reject);
      createInterface({ input: this.process.stderr }).on('line', (line) => {
        this.log.push(line);
        const found = LISTENING.exec(line);
        if (found) resolve(found[1]);
      });
      this.ended.then((code) => reject(new Error(`ended with ${code}:\n${this.tail()}`)), reject);
    });
    this.base = await within(listening, 'the server says where it listens');
    this.port = Number(new URL(this.base).port);
  }

  tail() {
    return this.log.slice(-40).join('\n');
  }

  /** Asks it to drain, as an operator would, and does not wait. */
  terminate() {
    this.process.kill('SIGTERM');
  }

  /** Its exit code, once it has ended by itself. */
  wait() {
    return within(this.ended, 'the server ends');
  }

  /** A crash and a new life on the same port: every log is empty, every epoch new. */
  async restart() {
    this.process.kill('SIGKILL');
    await this.wait();
    await this.start();
  }

  /** Ends it and checks that it ended well: exit code 0 and no panic on the way. */
  async stop() {
    this.terminate();
    let code;
    try {
      code = await this.wait();
    } catch (error) {
      this.process.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.tail()}`);
    }
    if (code !== 0 || this.log.some((line) => line.includes('panicked at'))) {
      throw new Error(`the server ended with ${code}:\n${this.tail()}`);
    }
  }
}

/**
 * Forwards TCP to the server and cuts connections with a reset, on command or by byte count.
 *
 * `budget()` is called once per connection and says after how many bytes from the server that
 * connection is cut. `target` may be changed while it runs.
 */
export class CuttingProxy {
  /** A proxy of the test's own, stopped with it. */
  static async for(t, target, budget) {
    const proxy = await CuttingProxy.start(target, budget);
    cleanUp(t, () => proxy.stop());
    return proxy;
  }

  static async start(target, budget = () => Infinity) {
    const proxy = new CuttingProxy();
    Object.assign(proxy, { target, budget, cuts: 0, pairs: new Set() });
    proxy.listener = net.createServer({ allowHalfOpen: true }, (client) => proxy.#forward(client));
    proxy.listener.listen(0, '127.0.0.1');
    await once(proxy.listener, 'listening');
    proxy.base = `http://127.0.0.1:${proxy.listener.address().port}`;
    return proxy;
  }

  #forward(client) {
    const { hostname, port } = new URL(this.target);
    const server = net.connect({ host: hostname, port, allowHalfOpen: true });
    const pair = [client, server];
    this.pairs.add(pair);
    let left = this.budget();
    const reset = () => {
      this.pairs.delete(pair);
      for (const socket of pair) socket.resetAndDestroy();
    };
    for (const socket of pair) {
      socket.on('error', reset);
      socket.on('close', reset);
    }
    client.on('data', (data) => server.write(data));
    client.on('end', () => server.end());
    server.on('end', () => client.end());
    server.on('data', (data) => {
      left -= data.length;
      if (left > 0) {
        client.write(data);
      } else {
        this.cuts += 1;
        client.write(data.subarray(0, data.length + left), reset);
      }
    });
  }

  /** Resets every connection that is open now, both ways. */
  cut() {
    for (const pair of this.pairs) {
      this.cuts += 1;
      this.pairs.delete(pair);
      for (const socket of pair) socket.resetAndDestroy();
    }
  }

  async stop() {
    this.listener.close();
    this.cut();
    await within(once(this.listener, 'close'), 'the proxy closes');
  }
}

/** `base/topics/a,b?…`; a query value that is undefined or null is left out. */
export function topicUrl(base, topics, query = {}) {
  const path = [topics].flat().map(encodeURIComponent).join(',');
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const search = new URLSearchParams(pairs).toString();
  return `${base}/topics/${path}${search && `?${search}`}`;
}

/** Publishes and returns the id that the server gave. */
export async function publish(base, topic, data, { type = 'text/plain', event } = {}) {
  const headers = { 'Content-Type': type, ...(event && { 'Event-Type': event }) };
  const answer = await fetch(topicUrl(base, topic), {
    method: 'POST',
    headers,
    body: data,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`publish: ${answer.status} ${text}`);
  return JSON.parse(text).id;
}

/** Publishes in order and returns the ids. */
export async function publishAll(base, topic, payloads) {
  const ids = [];
  for (const payload of payloads) ids.push(await publish(base, topic, payload));
  return ids;
}

/** The cursor at the head (clause 12.1): taken before publishing, it makes a start exact. */
export async function headCursor(base, topics) {
  const answer = await fetch(topicUrl(base, topics), {
    method: 'HEAD',
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  return answer.headers.get('ETag').replaceAll('"', '');
}

/** A list that grows by `push` and can be waited for. */
export class Inbox {
  items = [];
  #waiting = [];

  push(item) {
    this.items.push(item);
    this.#waiting.forEach((check) => check());
  }

  /** The first `count` items, once they are there. */
  async atLeast(count, what = `${count} items`) {
    const arrived = new Promise((resolve) => {
      const check = () => this.items.length >= count && resolve();
      this.#waiting.push(check);
      check();
    });
    try {
      await within(arrived, what);
    } catch (error) {
      throw new Error(`${error.message}; there are ${JSON.stringify(this.items).slice(0, 500)}`);
    }
    return this.items.slice(0, count);
  }
}

let topicsUsed = 0;

/** A topic that no other test of this run uses; its name also needs percent-encoding. */
export function newTopic(name = 'topic') {
  topicsUsed += 1;
  return `${name} é ${process.pid} ${topicsUsed}`;
}

/** `['0', '1', …]`, `count` of them. */
export function numbers(count, first = 0) {
  return Array.from({ length: count }, (_, index) => String(first + index));
}

/** A GET with node:http, which, unlike fetch, needs no keep-alive pool. */
export async function get(base, path) {
  const request = http.get(base + path, { agent: false, timeout: DEADLINE_MS });
  const [answer] = await within(once(request, 'response'), `an answer to ${path}`);
  answer.resume();
  await within(once(answer, 'end'), `the end of ${path}`);
  return answer.statusCode;
}

/** Returns when every worker has had a turn since the call: what was sent before is known to it. */
export async function settle(base) {
  for (let turn = 0; turn < 16; turn += 1) await get(base, '/healthz');
}
