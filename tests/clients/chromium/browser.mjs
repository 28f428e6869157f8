// One headless Chromium from Debian, driven by playwright-core, and what its pages evaluate.

import { existsSync } from 'node:fs';
import { cleanUp, DEADLINE_MS } from '../harness.mjs';
import { tool } from '../tools.mjs';

const { chromium } = tool('playwright-core');
const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

export class Browser {
  static async start() {
    if (!existsSync(EXECUTABLE)) {
      throw new Error(`${EXECUTABLE} is missing: apt-get install chromium, or set CHROMIUM_BIN`);
    }
    const browser = new Browser();
    browser.chromium = await chromium.launch({
      executablePath: EXECUTABLE,
      headless: true,
      args: [
        '--no-sandbox', // CI runs as root, where Chromium has no sandbox
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-proxy-server',
      ],
    });
    return browser;
  }

  /** What the tabs of one person share (cookies, cache), and those of another test do not. */
  async context(t) {
    const context = await this.chromium.newContext();
    cleanUp(t, () => context.close());
    context.setDefaultTimeout(DEADLINE_MS);
    return context;
  }

  /** A page of `base`'s own origin, in a context of the test's own. */
  async page(t, base) {
    const context = await this.context(t);
    const page = await context.newPage();
    await page.goto(`${base}/healthz`);
    await page.evaluate(inPage);
    return page;
  }

  async stop() {
    await this.chromium.close();
  }
}

/** Runs in the page: readers on the browser's own clients, kept in `window.readers` by name. */
function inPage() {
  const DEADLINE_MS = 10_000;
  window.readers = {};

  class Reader {
    items = [];
    waiting = [];

    receive(item) {
      this.items.push(item);
      this.waiting.forEach((check) => check());
    }

    /** The first `count` items, once they are there. */
    atLeast(count) {
      return new Promise((resolve, reject) => {
        const late = () => reject(new Error(`no ${count} items: ${JSON.stringify(this.items)}`));
        const timer = setTimeout(late, DEADLINE_MS);
        const check = () => {
          if (this.items.length < count) return;
          clearTimeout(timer);
          resolve(this.items.slice(0, count));
        };
        this.waiting.push(check);
        check();
      });
    }
  }

  /** Resolves when open; rejects when the browser gives up (`readyState` CLOSED). */
  window.openEventSource = (name, url) => new Promise((resolve, reject) => {
    const reader = (window.readers[name] = new Reader());
    const source = (reader.source = new EventSource(url));
    reader.cuts = 0;
    source.onopen = () => resolve();
    source.onerror = () => {
      reader.cuts += 1;
      if (source.readyState === EventSource.CLOSED) reject(new Error('EventSource gave up'));
    };
    source.onmessage = ({ data, lastEventId }) => reader.receive({ data, id: lastEventId });
    source.addEventListener('tidings:gap', ({ data }) => reader.receive({ gap: JSON.parse(data) }));
    source.addEventListener('tidings:drain', ({ data }) => {
      reader.receive({ drain: JSON.parse(data) });
    });
  });

  window.openWebSocket = (name, url, subprotocols = []) => new Promise((resolve, reject) => {
    const reader = (window.readers[name] = new Reader());
    const socket = (reader.socket = new WebSocket(url, subprotocols));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => resolve(socket.protocol);
    socket.onerror = () => reject(new Error('WebSocket failed'));
    socket.onclose = ({ code, reason }) => reader.receive({ code, reason });
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) reader.receive({ bytes: [...new Uint8Array(data)] });
      else reader.receive(subprotocols.length ? JSON.parse(data) : { data });
    };
  });

  /** `fetch(url)` until `count` messages came: no cursor, no header, the plainest loop there is. */
  window.fetchLoop = async (url, count) => {
    const read = [];
    const answers = [];
    const end = performance.now() + DEADLINE_MS;
    while (read.length < count && performance.now() < end) {
      const answer = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
      const { messages } = await answer.json();
      answers.push(messages.length);
      read.push(...messages.map(({ data }) => data));
    }
    return { read, answers };
  };
}
