// Every JavaScript client on its wire: fresh, several topics, hop, gap, payloads.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { headCursor, newTopic, numbers, publish, publishAll, Server, within } from '../harness.mjs';
import { ALL, EventSourceReader, payloads, RawSocket, WITH_CURSOR } from './wires.mjs';

let server;
let smallServer;
before(async () => {
  server = await Server.start();
  smallServer = await Server.start('--log-messages', 10);
});
after(async () => {
  await server.stop();
  await smallServer.stop();
});

const TEXTS = [
  'one line', '', 'a\nb', 'a\rb', 'a\r\nb', '\n\nx\n', '  y', 'NUL\0', 'é漢😀\u2028\u0085',
];
const asEventStreamLines = (text) => text.replaceAll(/\r\n|\r/g, '\n');
const BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

for (const wire of ALL) {
  describe(wire.name, () => {
    test('a fresh reader hears what is published after it opened', async (t) => {
      const topic = newTopic();
      await publish(server.base, topic, 'too early');
      const reader = await wire.open(t, server.base, topic);
      await publishAll(server.base, topic, ['one', 'two', 'three']);
      assert.deepEqual(await payloads(reader, 3), ['one', 'two', 'three']);
    });

    test('several topics are heard on one connection', async (t) => {
      const topics = [newTopic('a'), newTopic('b'), newTopic('c')];
      const reader = await wire.open(t, server.base, topics);
      for (const topic of topics) await publish(server.base, topic, topic);
      assert.deepEqual((await payloads(reader, 3)).sort(), topics);
    });

    test('texts arrive as they were sent', async (t) => {
      const topic = newTopic();
      const head = await headCursor(server.base, topic);
      await publishAll(server.base, topic, TEXTS);
      const reader = await wire.open(t, server.base, topic, head);
      const expected = wire === EventSourceReader ? TEXTS.map(asEventStreamLines) : TEXTS;
      assert.deepEqual(await payloads(reader, TEXTS.length), expected);
    });

    test('bytes arrive as they were sent', async (t) => {
      const topic = newTopic();
      const reader = await wire.open(t, server.base, topic);
      await publish(server.base, topic, BYTES, { type: 'application/octet-stream' });
      const [data] = await payloads(reader, 1);
      const bytes = wire === EventSourceReader ? Buffer.from(data, 'base64') : data;
      assert.deepEqual(new Uint8Array(bytes), BYTES);
    });

    for (const first of WITH_CURSOR) {
      test(`a client hops here from ${first.name} and misses nothing`, async (t) => {
        const topics = [newTopic('a'), newTopic('b')];
        const head = await headCursor(server.base, topics);
        for (const number of numbers(3)) {
          for (const topic of topics) await publish(server.base, topic, `${topic}:${number}`);
        }
        const before = await first.open(t, server.base, topics, head);
        const read = await payloads(before, 6);
        await before.close();
        for (const topic of topics) await publish(server.base, topic, `${topic}:3`);
        const reader = await wire.open(t, server.base, topics, before.cursor);
        read.push(...(await payloads(reader, 2)));
        for (const topic of topics) {
          const mine = read.filter((text) => text.startsWith(`${topic}:`));
          assert.deepEqual(mine, numbers(4).map((number) => `${topic}:${number}`));
        }
      });
    }
  });
}

for (const wire of WITH_CURSOR) {
  test(`${wire.name} is told exactly how many messages were trimmed`, async (t) => {
    const topic = newTopic();
    const [cursor] = await publishAll(smallServer.base, topic, ['read']);
    await publishAll(smallServer.base, topic, numbers(25));
    const reader = await wire.open(t, smallServer.base, topic, cursor);
    const [{ gap }, ...messages] = await reader.inbox.atLeast(11);
    assert.deepEqual(gap, [topic, 15]);
    assert.deepEqual(messages.map(({ data }) => data), numbers(10, 15));
  });
}

test('a raw WebSocket is closed with 4001 where messages are gone', async (t) => {
  const topic = newTopic();
  const [cursor] = await publishAll(smallServer.base, topic, ['read']);
  await publishAll(smallServer.base, topic, numbers(25));
  const reader = await RawSocket.open(t, smallServer.base, topic, cursor);
  const { code, reason } = await within(reader.ended, 'the WebSocket is closed');
  assert.equal(code, 4001);
  assert.match(reason, /^gap: 15 messages of /);
});
