// Cuts, restarts and drains, as JavaScript clients live through them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CuttingProxy, headCursor, newTopic, numbers, publish, publishAll, Server, settle, topicUrl,
  within,
} from '../harness.mjs';
import {
  EventSourceReader, FetchPoll, FetchStream, JsonSocket, payloads, RawSocket, WITH_CURSOR,
} from './wires.mjs';

let server;
let proxy;
before(async () => {
  server = await Server.start('--drain-spread', 1, '--drain-max', 8);
  proxy = await CuttingProxy.start(server.base);
});
after(async () => {
  await proxy.stop();
  await server.stop();
});

for (const wire of WITH_CURSOR.filter((wire) => wire !== EventSourceReader)) {
  test(`${wire.name} that was cut resumes where it was`, async (t) => {
    const topic = newTopic();
    const head = await headCursor(server.base, topic);
    const reader = await wire.open(t, proxy.base, topic, head);
    await publishAll(server.base, topic, numbers(5));
    const read = await payloads(reader, 5);
    proxy.cut();
    await within(reader.ended, 'the reader sees the cut');
    await publishAll(server.base, topic, numbers(5, 5));
    const second = await wire.open(t, proxy.base, topic, reader.cursor);
    assert.deepEqual([...read, ...(await payloads(second, 5))], numbers(10));
  });
}

test('EventSource comes back by itself after a cut and misses nothing', async (t) => {
  const topic = newTopic();
  const reader = await EventSourceReader.open(t, proxy.base, topic);
  await publishAll(server.base, topic, numbers(5));
  await payloads(reader, 5);
  proxy.cut();
  await publishAll(server.base, topic, numbers(5, 5));
  assert.deepEqual(await payloads(reader, 10), numbers(10));
});

// eventsource-parser forgets an `id:` that comes without data, so this client does not know the
// cursor of the opening. (Chromium's does: see chromium/eventsource.test.mjs.)
const forgets = { todo: 'the npm package drops an id without data' };

test('EventSource comes back after a cut before its first message', forgets, async (t) => {
  const topic = newTopic();
  const reader = await EventSourceReader.open(t, proxy.base, topic);
  await settle(server.base);
  proxy.cut();
  await publish(server.base, topic, 'missed');
  assert.deepEqual(await payloads(reader, 1), ['missed']);
});

test('EventSource is cut in every part of an event and misses nothing', async (t) => {
  const topic = newTopic();
  const head = await headCursor(server.base, topic);
  await publishAll(server.base, topic, numbers(12));
  // Each connection lives a little longer than the one before, so a cut falls anywhere.
  let budget = 300;
  const cutting = await CuttingProxy.for(t, server.base, () => (budget += 97));
  // A reconnection takes the server's `retry:`, a second or more: so a handful of cuts only.
  const reader = await EventSourceReader.open(t, cutting.base, topic, head);
  assert.deepEqual(await payloads(reader, 12), numbers(12));
});

test('EventSource lives through a restart on the same port and is told of the gap', async (t) => {
  const own = await Server.for(t);
  const topic = newTopic();
  const reader = await EventSourceReader.open(t, own.base, topic);
  await publish(own.base, topic, 'one');
  await payloads(reader, 1);
  await own.restart();
  await publish(own.base, topic, 'two');
  const [, { gap }, { data }] = await reader.inbox.atLeast(3);
  assert.deepEqual(gap, [topic, null]);
  assert.equal(data, 'two');
});

for (const wire of [FetchStream, JsonSocket]) {
  test(`${wire.name} is told of the gap after a restart`, async (t) => {
    const own = await Server.for(t);
    const topic = newTopic();
    const cursor = await publish(own.base, topic, 'one');
    await own.restart();
    await publish(own.base, topic, 'two');
    const reader = await wire.open(t, own.base, topic, cursor);
    const [{ gap }, { data }] = await reader.inbox.atLeast(2);
    assert.deepEqual(gap, [topic, null]);
    assert.equal(data, 'two');
  });
}

test('ws gets close 1012 with a delay at a drain', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const readers = [
    await RawSocket.open(t, own.base, newTopic()),
    await JsonSocket.open(t, own.base, newTopic()),
  ];
  own.terminate();
  for (const reader of readers) {
    const { code, reason } = await within(reader.ended, 'the WebSocket is closed');
    assert.equal(code, 1012);
    assert.match(reason, /^retry_ms=\d+$/);
  }
  assert.equal(await own.wait(), 0);
});

test('the NDJSON body ends with a drain line and without an error', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const reader = await FetchStream.open(t, own.base, newTopic());
  own.terminate();
  assert.equal(await within(reader.ended, 'the stream ends'), null);
  assert.ok(reader.inbox.items.at(-1).drain > 0);
  assert.equal(await own.wait(), 0);
});

test('a parked fetch is answered with its cursor at a drain', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const topic = newTopic();
  const cursor = await publish(own.base, topic, 'one');
  const parked = fetch(topicUrl(own.base, topic, { wait: 30, after: cursor }));
  await settle(own.base);
  own.terminate();
  const answer = await within(parked, 'the parked poll is answered');
  assert.deepEqual(await answer.json(), { messages: [], cursor });
  assert.equal(await own.wait(), 0);
});

test('EventSource is told of a drain and finds the next server on the same port', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const topic = newTopic();
  const reader = await EventSourceReader.open(t, own.base, topic, 'earliest');
  await publish(own.base, topic, 'one');
  await payloads(reader, 1);
  own.terminate();
  const [, { drain }] = await reader.inbox.atLeast(2);
  assert.ok(drain > 0);
  assert.equal(await own.wait(), 0);
  await own.start();
  await publish(own.base, topic, 'two');
  const [, , { gap }, { data }] = await reader.inbox.atLeast(4);
  assert.deepEqual(gap, [topic, null]);
  assert.equal(data, 'two');
});

test('a poll loop over a proxy that cuts anywhere loses and repeats nothing', async (t) => {
  const topic = newTopic();
  const head = await headCursor(server.base, topic);
  await publishAll(server.base, topic, numbers(200));
  let budget = 0;
  const cutting = await CuttingProxy.for(t, server.base, () => (budget += 1371));
  const read = [];
  let cursor = head;
  while (read.length < 200) {
    try {
      const reader = await FetchPoll.open(t, cutting.base, topic, cursor);
      const complete = reader.inbox.atLeast(200 - read.length).catch(() => {});
      await within(Promise.race([reader.ended, complete]), 'the cut, or the last message');
      await reader.close();
      read.push(...reader.inbox.items.map(({ data }) => data));
      cursor = reader.cursor;
    } catch (error) {
      if (budget > 200_000) throw error;
    }
  }
  assert.deepEqual(read, numbers(200));
});
