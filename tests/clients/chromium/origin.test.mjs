// A page of another origin: refused by default, served when it is named (clause 14).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newTopic, publish, Server, topicUrl } from '../harness.mjs';
import { Browser } from './browser.mjs';

let browser;
let home; // where the foreign page comes from
let strict; // allows nobody
let open; // allows `home`
before(async () => {
  home = await Server.start();
  strict = await Server.start();
  open = await Server.start('--allow-origin', home.base);
  browser = await Browser.start();
});
after(async () => {
  await browser.stop();
  for (const server of [home, strict, open]) await server.stop();
});

async function inForeignPage(t, use, ...values) {
  const page = await browser.page(t, home.base);
  return page.evaluate(use, values);
}

const tryFetch = ([url, options]) => fetch(url, options).then(
  async (answer) => ({ status: answer.status, etag: answer.headers.get('ETag') }),
  (error) => ({ refused: error.name }),
);
const tryEventSource = ([url]) => window.openEventSource('es', url).then(
  () => window.readers.es.atLeast(1),
  (error) => error.message,
);
const tryWebSocket = ([url]) => window.openWebSocket('ws', url.replace('http', 'ws')).then(
  () => window.readers.ws.atLeast(1),
  (error) => error.message,
);

test('a foreign page can not fetch', async (t) => {
  const read = await inForeignPage(t, tryFetch, topicUrl(strict.base, newTopic()));
  assert.deepEqual(read, { refused: 'TypeError' });
});

test('a foreign page can not publish', async (t) => {
  const topic = newTopic();
  const options = { method: 'POST', body: 'x' };
  const sent = await inForeignPage(t, tryFetch, topicUrl(strict.base, topic), options);
  assert.deepEqual(sent, { refused: 'TypeError' });
  const { messages } = await (await fetch(topicUrl(strict.base, topic))).json();
  assert.deepEqual(messages, []);
});

test('a foreign page can not open an EventSource', async (t) => {
  const opened = await inForeignPage(t, tryEventSource, topicUrl(strict.base, newTopic()));
  assert.equal(opened, 'EventSource gave up');
});

test('a foreign page can not open a WebSocket', async (t) => {
  const opened = await inForeignPage(t, tryWebSocket, topicUrl(strict.base, newTopic()));
  assert.equal(opened, 'WebSocket failed');
});

test('an allowed foreign page fetches and reads the ETag', async (t) => {
  const topic = newTopic();
  const cursor = await publish(open.base, topic, 'one');
  const read = await inForeignPage(t, tryFetch, topicUrl(open.base, topic));
  assert.deepEqual(read, { status: 200, etag: `"${cursor}"` });
});

test('an allowed foreign page publishes JSON, which needs a preflight', async (t) => {
  const topic = newTopic();
  const headers = {
    'Content-Type': 'application/json', 'Event-Type': 'e', 'Idempotency-Key': 'k',
  };
  const options = { method: 'PUT', body: '{"a":1}', headers };
  const sent = await inForeignPage(t, tryFetch, topicUrl(open.base, topic), options);
  assert.equal(sent.status, 201);
  const { messages } = await (await fetch(topicUrl(open.base, topic))).json();
  assert.deepEqual([messages[0].data, messages[0].event], [{ a: 1 }, 'e']);
});

test('an allowed foreign page gives its cursor as a header, which needs a preflight', async (t) => {
  const topic = newTopic();
  const cursor = await publish(open.base, topic, 'one');
  const options = { headers: { 'Last-Event-ID': cursor, Prefer: 'wait=0' } };
  const read = await inForeignPage(t, tryFetch, topicUrl(open.base, topic), options);
  assert.deepEqual(read, { status: 200, etag: `"${cursor}"` });
});

test('an allowed foreign page opens an EventSource', async (t) => {
  const topic = newTopic();
  await publish(open.base, topic, 'one');
  const url = topicUrl(open.base, topic, { after: 'earliest' });
  const [{ data }] = await inForeignPage(t, tryEventSource, url);
  assert.equal(data, 'one');
});

test('an allowed foreign page opens a WebSocket', async (t) => {
  const topic = newTopic();
  await publish(open.base, topic, 'one');
  const url = topicUrl(open.base, topic, { after: 'earliest' });
  assert.deepEqual(await inForeignPage(t, tryWebSocket, url), [{ data: 'one' }]);
});
