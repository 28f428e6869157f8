// What a `ws` client can do besides listening (clause 11).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newTopic, publish, publishAll, Server, within } from '../harness.mjs';
import { tool } from '../tools.mjs';
import { JsonSocket, payloads, RawSocket } from './wires.mjs';

const { WebSocket } = tool('ws');

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

test('what a raw client sends is published as text and as bytes', async (t) => {
  const topic = newTopic();
  const reader = await RawSocket.open(t, server.base, topic);
  reader.socket.send('text');
  reader.socket.send(Buffer.from([0, 255]));
  assert.deepEqual(await payloads(reader, 2), ['text', Buffer.from([0, 255])]);
});

test('fragments of ws are one message', async (t) => {
  const reader = await RawSocket.open(t, server.base, newTopic());
  reader.socket.send('one ', { fin: false });
  reader.socket.send('message', { fin: true });
  assert.deepEqual(await payloads(reader, 1), ['one message']);
});

test('a command subscribes from a cursor and another unsubscribes', async (t) => {
  const [one, other] = [newTopic('one'), newTopic('other')];
  const [first] = await publishAll(server.base, one, ['a', 'b']);
  const reader = await JsonSocket.open(t, server.base, newTopic());
  const answer = await reader.command({ type: 'subscribe', topics: [one], after: first });
  assert.equal(answer.type, 'subscribed');
  assert.deepEqual(await payloads(reader, 1), ['b']);
  await reader.command({ type: 'subscribe', topic: other });
  await reader.command({ type: 'unsubscribe', topic: one });
  await publish(server.base, one, 'unheard');
  await publish(server.base, other, 'heard');
  assert.deepEqual(await payloads(reader, 2), ['b', 'heard']);
});

test('a publish command is acknowledged and delivered', async (t) => {
  const topic = newTopic();
  const reader = await JsonSocket.open(t, server.base, topic);
  const answer = await reader.command({ type: 'publish', topic, data: [1, 'é'], event: 'e' });
  assert.equal(answer.type, 'published');
  const [message] = await reader.inbox.atLeast(1);
  assert.deepEqual(
    [message.data, message.event, message.cursor],
    [[1, 'é'], 'e', answer.id],
  );
});

test('a ping frame of ws is answered with its own payload', async (t) => {
  const reader = await RawSocket.open(t, server.base, newTopic());
  const pong = new Promise((resolve) => reader.socket.once('pong', resolve));
  reader.socket.ping('abc');
  assert.equal((await within(pong, 'a pong')).toString(), 'abc');
});

test('a foreign origin is refused with 403', async (t) => {
  const url = `${server.base.replace('http', 'ws')}/topics/a`;
  const socket = new WebSocket(url, { origin: 'http://elsewhere.example' });
  const refused = new Promise((resolve) => {
    socket.on('unexpected-response', (_, answer) => resolve(answer.statusCode));
  });
  socket.on('error', () => {}); // that it is ended before it was open, below
  assert.equal(await within(refused, 'a refusal'), 403);
  socket.terminate();
});
