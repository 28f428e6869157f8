// A proxy as people have them in front of a server: it may hold back streams or WebSockets.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { cleanUp, within } from './harness.mjs';

/**
 * Forwards HTTP to the server. What it does wrong may be changed while it runs:
 *
 * - `buffers`: an answer is passed on when it is complete, so a stream never is.
 * - `upgrades`: 'pass'; 'swallow', so that a handshake is never answered; or 'ignore', so that it
 *   is forwarded as a plain request, as proxies do that do not know of WebSockets.
 */
export class Front {
  buffers = false;
  upgrades = 'pass';
  /** `METHOD /path` of everything that came. */
  requests = [];
  #sockets = new Set();

  /** A proxy of the test's own, stopped with it. */
  static async for(t, target, faults) {
    const front = Object.assign(new Front(), { target: new URL(target), ...faults });
    cleanUp(t, () => front.stop());
    front.listener = http.createServer((request, answer) => front.#forward(request, answer));
    front.listener.on('upgrade', (request, socket) => front.#upgrade(request, socket));
    front.listener.on('connection', (socket) => front.#keep(socket));
    front.listener.listen(0, '127.0.0.1');
    await once(front.listener, 'listening');
    front.base = `http://127.0.0.1:${front.listener.address().port}`;
    return front;
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
  }

  #forward(request, answer) {
    const { method, url: path, headers } = request;
    this.requests.push(`${method} ${path}`);
    const { hostname, port } = this.target;
    const onward = http.request({ hostname, port, method, path, headers, agent: false });
    request.pipe(onward);
    answer.on('close', () => onward.destroy());
    onward.on('error', () => answer.destroy());
    onward.on('response', async (from) => {
      from.on('error', () => answer.destroy());
      const head = [from.statusCode, from.statusMessage, from.headers];
      if (!this.buffers) return from.pipe(answer.writeHead(...head));
      const chunks = await from.toArray().catch(() => undefined);
      if (chunks) answer.writeHead(...head).end(Buffer.concat(chunks));
    });
  }

  #upgrade(request, socket) {
    const { method, url: path, rawHeaders } = request;
    this.requests.push(`${method} ${path} upgrade`);
    if (this.upgrades === 'swallow') return;
    const { hostname, port } = this.target;
    const onward = net.connect(Number(port), hostname);
    this.#keep(onward);
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    const lines = [`${method} ${path} HTTP/1.1`];
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const [name, value] = rawHeaders.slice(index, index + 2);
      const isHandshake = /^(connection|upgrade|sec-)/i.test(name);
      if (this.upgrades === 'pass' || !isHandshake) lines.push(`${name}: ${value}`);
    }
    onward.write(`${lines.join('\r\n')}\r\n\r\n`);
    onward.pipe(socket).pipe(onward);
  }

  /** Ends every connection with a reset. */
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop() {
    this.listener.close();
    this.cut();
    await within(once(this.listener, 'close'), 'the proxy closes');
  }
}

/** A server that answers each request with the next of `answers`, and the last one ever after. */
export async function scripted(t, ...answers) {
  const requests = [];
  const listener = http.createServer((request, answer) => {
    const { method, url, headers } = request;
    requests.push({ method, url, headers, at: performance.now() });
    request.resume();
    (answers.length > 1 ? answers.shift() : answers[0])(answer, request);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  cleanUp(t, () => {
    listener.closeAllConnections();
    listener.close();
  });
  return { base: `http://127.0.0.1:${listener.address().port}`, requests };
}
