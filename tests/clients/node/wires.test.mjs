// Every JavaScript client on its wire: fresh, several topics, hop, gap, payloads.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { headCursor, newTopic, numbers, publish, publishAll, Server } from '../harness.mjs';
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

async function reading(wire, base, topics, cursor, use) {
  const reader = await wire.open(base, topics, cursor);
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

const TEXTS = ['one line', '', 'a\nb', 'a\rb', 'a\r\nb', '\n\nx\n', '  y', 'NUL\0', 'é漢😀\u2028\u0085'];
const BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

for (const wire of ALL) {
  describe(wire.name, () => {
    test('a fresh reader hears what is published after it opened', async () => {
      const topic = newTopic();
      await publish(server.base, topic, 'too early');
      await reading(wire, server.base, topic, undefined, async (reader) => {
        await publishAll(server.base, topic, ['one', 'two', 'three']);
        assert.deepEqual(await payloads(reader, 3), ['one', 'two', 'three']);
      });
    });

    test('several topics are heard on one connection', async () => {
      const topics = [newTopic('a'), newTopic('b'), newTopic('c')];
      await reading(wire, server.base, topics, undefined, async (reader) => {
        for (const topic of topics) await publish(server.base, topic, topic);
        assert.deepEqual((await payloads(reader, 3)).sort(), topics);
      });
    });

    test('texts arrive as they were sent', async () => {
      const topic = newTopic();
      const head = await headCursor(server.base, topic);
      await publishAll(server.base, topic, TEXTS);
      await reading(wire, server.base, topic, head, async (reader) => {
        const asSent = wire === EventSourceReader
          ? TEXTS.map((text) => text.replaceAll(/\r\n|\r/g, '\n'))
          : TEXTS;
        assert.deepEqual(await payloads(reader, TEXTS.length), asSent);
      });
    });

    test('bytes arrive as they were sent', async () => {
      const topic = newTopic();
      await reading(wire, server.base, topic, undefined, async (reader) => {
        await publish(server.base, topic, BYTES, { type: 'application/octet-stream' });
        const [data] = await payloads(reader, 1);
        const bytes = wire === EventSourceReader ? Buffer.from(data, 'base64') : data;
        assert.deepEqual(new Uint8Array(bytes), BYTES);
      });
    });

    if (wire !== RawSocket) {
      test('trimmed messages are counted exactly', async () => {
        const topic = newTopic();
        const [cursor] = await publishAll(smallServer.base, topic, ['read']);
        await publishAll(smallServer.base, topic, numbers(25));
        await reading(wire, smallServer.base, topic, cursor, async (reader) => {
          const [{ gap }, ...messages] = await reader.inbox.atLeast(11);
          assert.deepEqual(gap, [topic, 15]);
          assert.deepEqual(messages.map(({ data }) => data), numbers(10, 15));
        });
      });
    }

    for (const first of WITH_CURSOR) {
      test(`a client hops here from ${first.name} and misses nothing`, async () => {
        const topics = [newTopic('a'), newTopic('b')];
        const head = await headCursor(server.base, topics);
        for (const number of numbers(3)) {
          for (const topic of topics) await publish(server.base, topic, `${topic}:${number}`);
        }
        const read = await reading(first, server.base, topics, head, async (reader) => {
          const before = await payloads(reader, 6);
          return { before, cursor: reader.cursor };
        });
        for (const topic of topics) await publish(server.base, topic, `${topic}:3`);
        await reading(wire, server.base, topics, read.cursor, async (reader) => {
          const all = [...read.before, ...(await payloads(reader, 2))];
          for (const topic of topics) {
            const mine = all.filter((text) => text.startsWith(`${topic}:`));
            assert.deepEqual(mine, numbers(4).map((number) => `${topic}:${number}`));
          }
        });
      });
    }
  });
}

test('a raw WebSocket is closed with 4001 where messages are gone', async () => {
  const topic = newTopic();
  const [cursor] = await publishAll(smallServer.base, topic, ['read']);
  await publishAll(smallServer.base, topic, numbers(25));
  const reader = await RawSocket.open(smallServer.base, topic, cursor);
  const { code, reason } = await reader.ended;
  assert.equal(code, 4001);
  assert.match(reason, /^gap: 15 messages of /);
});
