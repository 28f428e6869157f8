// The browser's own fetch: its HTTP cache resumes a plain loop (clause 7.3), and a client hops.

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

const loop = (page, url, count) => page.evaluate(
  ([url, count]) => window.fetchLoop(url, count),
  [url, count],
);

test('fetch in a plain loop loses and repeats nothing', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  const url = topicUrl('', topic);
  await publishAll(server.base, topic, numbers(5));
  assert.deepEqual((await loop(page, url, 5)).read, numbers(5));
  const looping = loop(page, url, 40);
  await publishAll(server.base, topic, numbers(40, 5));
  assert.deepEqual((await looping).read, numbers(40, 5));
});

test('fetch with nothing new is an empty answer, not the last one again', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  await publish(server.base, topic, 'one');
  const read = await page.evaluate(async (url) => {
    const read = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const answer = await fetch(url);
      read.push([answer.status, (await answer.json()).messages.length]);
    }
    return read;
  }, topicUrl('', topic));
  assert.deepEqual(read, [[200, 1], [200, 0], [200, 0], [200, 0], [200, 0]]);
});

test('fetch with wait in a plain loop loses nothing after its first answer', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  // The first answer gives the browser a cursor: that of the head, when nothing came in time.
  const first = await page.evaluate(
    async (url) => (await fetch(url)).json(),
    topicUrl('', topic, { wait: 1 }),
  );
  assert.deepEqual(first.messages, []);
  const looping = loop(page, topicUrl('', topic, { wait: 1 }), 40);
  await publishAll(server.base, topic, numbers(40));
  assert.deepEqual((await looping).read, numbers(40));
});

test('fetch over a proxy that cuts resumes by the cache', async (t) => {
  const topic = newTopic();
  const proxy = await CuttingProxy.for(t, server.base);
  const page = await browser.page(t, proxy.base);
  await publishAll(server.base, topic, numbers(5));
  const { read } = await loop(page, topicUrl('', topic), 5);
  proxy.cut();
  await publishAll(server.base, topic, numbers(5, 5));
  read.push(...(await loop(page, topicUrl('', topic), 5)).read);
  assert.deepEqual(read, numbers(10));
});

test('fetch is told of gaps after trimming and after a restart', async (t) => {
  const small = await Server.for(t, '--log-messages', 10);
  const topic = newTopic();
  const page = await browser.page(t, small.base);
  const ask = () => page.evaluate(async (url) => (await fetch(url)).json(), topicUrl('', topic));
  await publish(small.base, topic, 'read');
  await ask();
  await publishAll(small.base, topic, numbers(25));
  const trimmed = await ask();
  assert.deepEqual(trimmed.gap, [{ topic, count: 15 }]);
  assert.deepEqual(trimmed.messages.map(({ data }) => data), numbers(10, 15));
  await small.restart();
  await publish(small.base, topic, 'new');
  const restarted = await ask();
  assert.deepEqual(restarted.gap, [{ topic, count: null }]);
  assert.deepEqual(restarted.messages.map(({ data }) => data), ['new']);
});

test('a page hops from fetch to EventSource to WebSocket with one cursor', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  await publishAll(server.base, topic, numbers(3));
  const read = await page.evaluate(async (url) => {
    const polled = await (await fetch(url)).json();
    const publish = (text) => fetch(url, { method: 'POST', body: text });
    const read = polled.messages.map(({ data }) => data);
    await publish('3');
    await window.openEventSource('es', `${url}?after=${polled.cursor}`);
    const [event] = await window.readers.es.atLeast(1);
    window.readers.es.source.close();
    await publish('4');
    const socketUrl = new URL(`${url}?after=${event.id}`, location.href.replace('http', 'ws'));
    await window.openWebSocket('ws', socketUrl.href, ['tidings.json']);
    const [, message] = await window.readers.ws.atLeast(2);
    await publish('5');
    const last = await (await fetch(`${url}?after=${message.id}`)).json();
    return [...read, event.data, message.data, ...last.messages.map(({ data }) => data)];
  }, topicUrl('', topic));
  assert.deepEqual(read, numbers(6));
});

test('the body of a fetch is an NDJSON stream', async (t) => {
  const topic = newTopic();
  const page = await browser.page(t, server.base);
  await publishAll(server.base, topic, numbers(3));
  const read = await page.evaluate(async (url) => {
    const headers = { Accept: 'application/x-ndjson', 'Last-Event-ID': 'earliest' };
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(10_000) });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (text.split('\n').length < 5) text += (await reader.read()).value;
    await reader.cancel();
    return text.split('\n').slice(0, 4).map(JSON.parse);
  }, topicUrl('', topic));
  assert.equal(read[0].type, 'open');
  assert.deepEqual(read.slice(1).map(({ data }) => data), numbers(3));
});
