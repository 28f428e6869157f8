// The browser's own EventSource: it reconnects by itself, and we only cut.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CuttingProxy, newTopic, numbers, publish, publishAll, Server, settle, topicUrl,
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

const open = (page, url) => page.evaluate((url) => window.openEventSource('es', url), url);
const items = (page, count) => page.evaluate((count) => window.readers.es.atLeast(count), count);
const texts = async (page, count) => (await items(page, count)).map(({ data }) => data);

test('a fresh EventSource hears what is published after it opened', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  await publish(server.base, topic, 'too early');
  await open(page, topicUrl('', topic));
  const payloads = ['one', '', 'two\nlines', 'a\r\nb\rc', '  é漢😀'];
  const ids = await publishAll(server.base, topic, payloads);
  const read = await items(page, 5);
  const asLines = payloads.map((text) => text.replaceAll(/\r\n|\r/g, '\n'));
  assert.deepEqual(read.map(({ data }) => data), asLines);
  assert.deepEqual(read.map(({ id }) => id), ids);
});

test('EventSource resumes by itself after every cut', async (t) => {
  const proxy = await CuttingProxy.for(t, server.base);
  const topic = newTopic();
  const page = await browser.page(t, proxy.base);
  await open(page, topicUrl('', topic));
  for (let round = 0; round < 3; round += 1) {
    await publishAll(server.base, topic, numbers(5, round * 10));
    await items(page, round * 10 + 5);
    proxy.cut();
    await publishAll(server.base, topic, numbers(5, round * 10 + 5));
    assert.deepEqual(await texts(page, round * 10 + 10), numbers(round * 10 + 10));
  }
});

test('EventSource that was cut before its first message misses nothing', async (t) => {
  const proxy = await CuttingProxy.for(t, server.base);
  const topic = newTopic();
  const page = await browser.page(t, proxy.base);
  await open(page, topicUrl('', topic));
  await settle(server.base);
  // The opening follows the head in a packet of its own, perhaps: one round trip of the page
  // through the same proxy, and it has been forwarded.
  await page.evaluate(async () => (await fetch('/healthz')).text());
  proxy.cut();
  await publish(server.base, topic, 'missed');
  assert.deepEqual(await texts(page, 1), ['missed']);
});

test('EventSource hears several topics and resumes all of them with one id', async (t) => {
  const proxy = await CuttingProxy.for(t, server.base);
  const topics = [newTopic('a'), newTopic('b'), newTopic('c')];
  const page = await browser.page(t, proxy.base);
  await open(page, topicUrl('', topics));
  for (const topic of topics) await publish(server.base, topic, `${topic} 1`);
  await items(page, 3);
  proxy.cut();
  for (const topic of topics) await publish(server.base, topic, `${topic} 2`);
  const expected = topics.flatMap((topic) => [`${topic} 1`, `${topic} 2`]);
  assert.deepEqual((await texts(page, 6)).sort(), expected);
});

test('EventSource is told of a gap after trimming', async (t) => {
  const small = await Server.for(t, '--log-messages', 10);
  const topic = newTopic();
  const [first] = await publishAll(small.base, topic, numbers(31));
  const page = await browser.page(t, small.base);
  await open(page, topicUrl('', topic, { after: first }));
  const [{ gap }, ...messages] = await items(page, 11);
  assert.deepEqual(gap, { topic, count: 20 });
  assert.deepEqual(messages.map(({ data }) => data), numbers(10, 21));
});

test('EventSource lives through a drain and a restart and is told of the gap', async (t) => {
  const own = await Server.for(t, '--drain-spread', 1);
  const topic = newTopic();
  const page = await browser.page(t, own.base);
  await open(page, topicUrl('', topic, { after: 'earliest' }));
  await publish(own.base, topic, 'one');
  await items(page, 1);
  own.terminate();
  const [, { drain }] = await items(page, 2);
  assert.ok(drain.retry_ms > 0);
  assert.equal(await own.wait(), 0);
  await own.start();
  await publish(own.base, topic, 'two');
  const [, , { gap }, { data }] = await items(page, 4);
  assert.deepEqual(gap, { topic, count: null });
  assert.equal(data, 'two');
});
