// The browser's own WebSocket, raw and with tidings.json.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CuttingProxy, newTopic, numbers, publish, publishAll, Server, topicUrl,
} from '../harness.mjs';
import { Browser } from './browser.mjs';

let browser;
let server;
before(async () => {
  server = await Server.start();
  browser = await Browser.start();
});
after(async () => {
  await browser.stop();
  await server.stop();
});

const open = (page, url, subprotocols) => page.evaluate(
  ([url, subprotocols]) => window.openWebSocket('ws', url, subprotocols),
  [url.replace('http', 'ws'), subprotocols],
);
const send = (page, text) => page.evaluate((text) => window.readers.ws.socket.send(text), text);
const items = (page, count) => page.evaluate((count) => window.readers.ws.atLeast(count), count);

test('a raw WebSocket hears text and bytes, and what it sends is published', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  assert.equal(await open(page, topicUrl(server.base, topic)), '');
  await publish(server.base, topic, 'one\r\ntwo\0');
  await publish(server.base, topic, Uint8Array.of(0, 255), { type: 'application/octet-stream' });
  await items(page, 2);
  await send(page, 'from the page');
  assert.deepEqual(await items(page, 3), [
    { data: 'one\r\ntwo\0' },
    { bytes: [0, 255] },
    { data: 'from the page' },
  ]);
});

test('tidings.json subscribes, publishes and hears envelopes', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  const agreed = await open(page, `${server.base}/topics`, ['tidings.json']);
  assert.equal(agreed, 'tidings.json');
  await send(page, JSON.stringify({ type: 'subscribe', topic, request: 1 }));
  const [opening, subscribed] = await items(page, 2);
  assert.equal(opening.type, 'open');
  assert.equal(subscribed.type, 'subscribed');
  await send(page, JSON.stringify({ type: 'publish', topic, data: { a: 1 }, request: 2 }));
  const [, , ...last] = await items(page, 4);
  const published = last.find(({ type }) => type === 'published');
  const message = last.find(({ type }) => type === undefined);
  assert.equal(published.id, message.id);
  assert.deepEqual(message.data, { a: 1 });
});

test('tidings.json that was cut resumes by ?after= on several topics', async (t) => {
  const proxy = await CuttingProxy.for(t, server.base);
  const topics = [newTopic('a'), newTopic('b')];
  const page = await browser.page(t, proxy.base);
  await open(page, topicUrl(proxy.base, topics), ['tidings.json']);
  for (const topic of topics) await publish(server.base, topic, `${topic} 1`);
  const read = await items(page, 3);
  proxy.cut();
  const cut = await items(page, 4);
  assert.equal(cut[3].code, 1006);
  for (const topic of topics) await publish(server.base, topic, `${topic} 2`);
  await open(page, topicUrl(proxy.base, topics, { after: read[2].cursor }), ['tidings.json']);
  const resumed = await items(page, 3);
  assert.deepEqual(
    [...read.slice(1), ...resumed.slice(1)].map(({ data }) => data).sort(),
    topics.flatMap((topic) => [`${topic} 1`, `${topic} 2`]),
  );
});

test('a raw WebSocket is closed with 4001 where messages are gone', async (t) => {
  const small = await Server.for(t, '--log-messages', 10);
  const topic = newTopic();
  const [first] = await publishAll(small.base, topic, numbers(31));
  const page = await browser.page(t, small.base);
  await open(page, topicUrl(small.base, topic, { after: first }));
  const [closed] = await items(page, 1);
  assert.equal(closed.code, 4001);
  assert.match(closed.reason, /^gap: 20 messages of /);
});

test('tidings.json is told of a gap after a restart', async (t) => {
  const own = await Server.for(t);
  const topic = newTopic();
  const cursor = await publish(own.base, topic, 'one');
  await own.restart();
  await publish(own.base, topic, 'two');
  const page = await browser.page(t, own.base);
  await open(page, topicUrl(own.base, topic, { after: cursor }), ['tidings.json']);
  const [, gap, message] = await items(page, 3);
  assert.deepEqual([gap.type, gap.topic, gap.count], ['gap', topic, null]);
  assert.equal(message.data, 'two');
});

test('a WebSocket gets close 1012 with a delay at a drain', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const page = await browser.page(t, own.base);
  await open(page, topicUrl(own.base, newTopic()));
  own.terminate();
  const [closed] = await items(page, 1);
  assert.equal(closed.code, 1012);
  assert.match(closed.reason, /^retry_ms=\d+$/);
  assert.equal(await own.wait(), 0);
});
