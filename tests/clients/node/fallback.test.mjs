// `via: 'auto'` of `/tidings.js`: which wire it takes when proxies hold things back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Front } from '../front.mjs';
import { newTopic, numbers, publish, publishAll, Server } from '../harness.mjs';
import { Follower, load } from './follower.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = await load(server.base);
});
after(() => server.stop());

// Publishes on both sides of a cut and hears each message once.
async function works(t, front, options) {
  const topic = newTopic();
  const follower = Follower.on(t, client, front.base, topic, options);
  const { via } = await follower.reached('open');
  await publishAll(server.base, topic, numbers(3));
  await follower.heard.atLeast(3);
  front.cut();
  await publishAll(server.base, topic, numbers(3, 3));
  assert.deepEqual(await follower.texts(6), numbers(6));
  return { via, topic, follower };
}

// As if it were so much later, for everything that asks how late it is.
function skipTime(t, ms) {
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + ms);
}

test('a WebSocket, where nothing is in its way', async (t) => {
  const front = await Front.for(t, server.base);
  assert.equal((await works(t, front)).via, 'websocket');
});

test('an event stream, where there is no WebSocket', async (t) => {
  const front = await Front.for(t, server.base);
  const { WebSocket } = globalThis;
  delete globalThis.WebSocket;
  try {
    assert.equal((await works(t, front)).via, 'sse');
    const url = `${server.base}/`;
    assert.throws(() => client.subscribe('a', { via: 'websocket', url }), TypeError);
  } finally {
    globalThis.WebSocket = WebSocket;
  }
});

test('an event stream, where handshakes are not understood', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'ignore' });
  assert.equal((await works(t, front)).via, 'sse');
});

test('an event stream, where handshakes are swallowed, and at once the next time', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'swallow' });
  assert.equal((await works(t, front)).via, 'sse');
  assert.equal(front.requests.filter((request) => request.endsWith('upgrade')).length, 1);
  assert.equal((await works(t, front)).via, 'sse');
  assert.equal(front.requests.filter((request) => request.endsWith('upgrade')).length, 1);
});

test('long polls, where streams are held back', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'ignore', buffers: true });
  assert.equal((await works(t, front)).via, 'long-poll');
});

test('what is published while it looks for a wire is heard on the one that it finds', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'ignore', buffers: true });
  const topic = newTopic();
  const cursor = await publish(server.base, topic, 'before');
  const follower = Follower.on(t, client, front.base, topic, { after: cursor });
  await follower.reached('connecting', 1);
  await publishAll(server.base, topic, numbers(3));
  assert.deepEqual(await follower.texts(3), numbers(3));
  assert.equal(follower.subscription.via, 'long-poll');
});

test('the better wire again, once what was in its way is gone, without a hole', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'ignore', buffers: true });
  const { topic, follower } = await works(t, front);
  skipTime(t, 61_000);
  for (let turn = 0; follower.subscription.via === 'long-poll'; turn += 1) {
    // The first trial is held back as well; it costs nothing.
    if (turn === 3) {
      Object.assign(front, { upgrades: 'pass', buffers: false });
      t.mock.restoreAll();
      skipTime(t, 240_000);
    }
    await publish(server.base, topic, String(6 + turn));
    await follower.heard.atLeast(7 + turn);
  }
  assert.equal(follower.subscription.via, 'websocket');
  const count = follower.heard.items.length;
  await publish(server.base, topic, String(count));
  assert.deepEqual(await follower.texts(count + 1), numbers(count + 1));
});

test('a wire that opens and is cut again and again is given up for the next', async (t) => {
  const front = await Front.for(t, server.base);
  const topic = newTopic();
  const follower = Follower.on(t, client, front.base, topic);
  for (let skip = 0, count = 0; follower.subscription.via === 'websocket'; count += 1) {
    assert.ok(count < 10, 'it stays with it');
    await follower.reached('open', skip);
    skip = follower.states.items.length;
    if (follower.subscription.via === 'websocket') front.cut();
  }
  await publish(server.base, topic, 'heard');
  assert.deepEqual(await follower.texts(1), ['heard']);
});

test('a wire that has worked is not given up because the server is away', async (t) => {
  const own = await Server.for(t);
  const front = await Front.for(t, own.base);
  const follower = Follower.on(t, client, front.base, newTopic());
  await follower.reached('open');
  await own.restart();
  await follower.reached('open', follower.states.items.length);
  assert.equal(follower.subscription.via, 'websocket');
  assert.ok(front.requests.every((request) => !request.includes('envelope')), 'no event stream');
});
