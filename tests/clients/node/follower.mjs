// The client of `/tidings.js`, as the server under test serves it, and what a subscription told.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cleanUp, Inbox } from '../harness.mjs';
import { tool } from '../tools.mjs';

// Node has one from version 22 on; the client takes whichever is there.
globalThis.WebSocket ??= tool('ws').WebSocket;

/** Downloads the client and imports it, as one does under Node. */
export async function load(base) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-'));
  const file = join(folder, 'tidings.mjs');
  await writeFile(file, await (await fetch(`${base}/tidings.js`)).text());
  const client = await import(pathToFileURL(file));
  await rm(folder, { recursive: true });
  return client;
}

/** A subscription and all that it called back with, in `heard` and `states`. */
export class Follower {
  heard = new Inbox(); // messages, and gaps as { gap }
  states = new Inbox(); // { state, via, retryMs?, error? }

  /** A subscription of the test's own, closed with it. */
  static on(t, { subscribe }, base, topics, options) {
    const follower = new Follower();
    follower.subscription = subscribe(topics, {
      url: `${base}/`,
      onMessage: (message) => follower.heard.push(message),
      onGap: (gap) => follower.heard.push({ gap }),
      onState: (state, detail) => follower.states.push({ state, ...detail }),
      ...options,
    });
    cleanUp(t, () => follower.subscription.close());
    return follower;
  }

  /** The first state of that name behind the first `skip`, once it is there. */
  async reached(state, skip = 0) {
    for (let count = skip + 1; ; count += 1) {
      const last = (await this.states.atLeast(count, `the state ${state}`)).at(-1);
      if (last.state === state) return last;
    }
  }

  /** The data of the first `count` messages; a gap among them is a failure. */
  async texts(count) {
    const items = await this.heard.atLeast(count);
    const gap = items.find((item) => item.gap);
    if (gap) throw new Error(`no message: ${JSON.stringify(gap)}`);
    return items.map(({ data }) => data);
  }
}
