// `/tidings.js` in a browser: its network, its tabs, what is in between, the classic script.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Front } from '../front.mjs';
import {
  CuttingProxy, newTopic, numbers, publish, publishAll, Server, within,
} from '../harness.mjs';
import { Browser } from './browser.mjs';
import { Tab } from './tab.mjs';

const WIRES = ['websocket', 'sse', 'ndjson', 'long-poll', 'poll'];

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

const open = async (t, base, topics, options) =>
  Tab.open(await browser.context(t), base, topics, options);

for (const client of ['module', 'classic']) {
  test(`the ${client} client hears everything once on every wire, cut and cut again`, async (t) => {
    for (const via of ['auto', ...WIRES]) {
      const proxy = await CuttingProxy.for(t, server.base);
      const topic = newTopic();
      const tab = await open(t, proxy.base, topic, { via, client });
      const { via: wire } = await tab.reached('open');
      assert.equal(wire, via === 'auto' ? 'websocket' : via);
      for (const round of [0, 10]) {
        await publishAll(server.base, topic, numbers(5, round));
        await tab.heard.atLeast(round + 5);
        proxy.cut();
        await publishAll(server.base, topic, numbers(5, round + 5));
        assert.deepEqual(await tab.texts(round + 10), numbers(round + 10), via);
      }
      await tab.page.close();
    }
  });
}

test('the classic client leaves one name behind, publishes and shares', async (t) => {
  const topic = newTopic();
  const tab = await Tab.blank(await browser.context(t), server.base);
  const before = await tab.page.evaluate(() => Object.keys(window));
  await tab.subscribe(topic, { client: 'classic', share: true });
  await tab.reached('open');
  const added = await tab.page.evaluate((before) => Object.keys(window)
    .filter((name) => !before.includes(name)), before);
  assert.deepEqual(added.sort(), ['subscription', 'tidings']);
  await tab.page.evaluate((topic) => window.tidings.publish(topic, { a: 1 }), topic);
  assert.deepEqual(await tab.texts(1), [{ a: 1 }]);
  assert.ok(await tab.page.evaluate(() => performance.getEntriesByType('resource')
    .some(({ name }) => name.endsWith('/tidings-share.js'))), 'it does not share');
});

test('where streams are held back and WebSockets swallowed, it is long polls', async (t) => {
  const front = await Front.for(t, server.base, { upgrades: 'swallow', buffers: true });
  const topic = newTopic();
  const tab = await open(t, front.base, topic, {});
  assert.equal((await tab.reached('open')).via, 'long-poll');
  await publishAll(server.base, topic, numbers(3));
  assert.deepEqual(await tab.texts(3), numbers(3));
});

for (const via of WIRES) {
  test(`offline and online again, ${via} goes on where it was, at once`, async (t) => {
    const proxy = await CuttingProxy.for(t, server.base);
    const topic = newTopic();
    const tab = await open(t, proxy.base, topic, { via });
    await tab.reached('open');
    await publishAll(server.base, topic, numbers(3));
    await tab.heard.atLeast(3);
    // The wait that being online again ends is as long as it gets.
    await tab.page.evaluate(() => (Math.random = () => 0.999));
    await tab.page.context().setOffline(true);
    proxy.cut();
    proxy.target = 'http://127.0.0.1:1';
    let [longest, skip] = [0, tab.states.items.length];
    while (longest < 3900) {
      longest = (await tab.reached('waiting', skip)).retryMs;
      skip = tab.states.items.length;
    }
    await publishAll(server.base, topic, numbers(3, 3));
    proxy.target = server.base;
    const since = performance.now();
    await tab.page.context().setOffline(false);
    assert.deepEqual(await tab.texts(6), numbers(6));
    assert.ok(performance.now() - since < longest - 500, `it waited for ${longest} ms`);
  });
}

test('a tab that pauses when hidden has no connection until it is shown', async (t) => {
  const own = await Server.for(t);
  for (const via of WIRES) {
    const topic = newTopic();
    const tab = await open(t, own.base, topic, { via, pauseWhenHidden: true });
    await tab.reached('open');
    await publish(own.base, topic, '0');
    await tab.heard.atLeast(1);
    await tab.setHidden(true);
    await tab.reached('paused');
    const requests = await tab.property('requests');
    await publishAll(own.base, topic, numbers(3, 1));
    assert.equal(await tab.property('requests'), requests);
    assert.equal(tab.heard.items.length, 1, via);
    await tab.setHidden(false);
    assert.deepEqual(await tab.texts(4), numbers(4), via);
    await tab.page.close();
  }
});

test('a tab that is hidden from the beginning begins when it is shown', async (t) => {
  const topic = newTopic();
  const tab = await Tab.blank(await browser.context(t), server.base);
  await tab.setHidden(true);
  await tab.subscribe(topic, { pauseWhenHidden: true });
  await tab.reached('paused');
  assert.equal(await tab.property('requests'), 0);
  await tab.setHidden(false);
  await tab.reached('open');
  await publish(server.base, topic, 'seen');
  assert.deepEqual(await tab.texts(1), ['seen']);
});

test('a page that was left and is shown again goes on where it was', async (t) => {
  const topic = newTopic();
  const tab = await open(t, server.base, topic, {});
  await tab.reached('open');
  const seen = tab.states.items.length;
  await tab.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pagehide')));
  await tab.reached('paused', seen);
  await publish(server.base, topic, 'meanwhile');
  await tab.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow')));
  assert.deepEqual(await tab.texts(1), ['meanwhile']);
});

test('a page of another origin imports the client, and it asks where it came from', async (t) => {
  const open = await Server.for(t, '--allow-origin', server.base);
  const topic = newTopic();
  const tab = await Tab.blank(await browser.context(t), server.base);
  const heard = tab.page.evaluate(async ([url, topic]) => {
    const { publish, subscribe } = await import(url);
    return new Promise((resolve) => {
      subscribe(topic, {
        share: true,
        onMessage: ({ data }) => resolve(data),
        onState: (state) => state === 'open' && publish(topic, 'across'),
      });
    });
  }, [`${open.base}/tidings.js`, topic]);
  assert.equal(await within(heard, 'the message'), 'across');
});

test('the `url` of another server that lets this origin in is followed', async (t) => {
  const open = await Server.for(t, '--allow-origin', server.base);
  const topic = newTopic();
  const context = await browser.context(t);
  const tab = await Tab.open(context, server.base, topic, { url: `${open.base}/` });
  await tab.reached('open');
  const id = await tab.page.evaluate(
    ([topic, url]) => window.tidings.publish(topic, 'across', { url }),
    [topic, `${open.base}/`],
  );
  assert.deepEqual(await tab.texts(1), ['across']);
  assert.equal(await tab.property('cursor'), id);
});

test('the examples of docs/clients.md run as they stand', async (t) => {
  const own = await Server.for(t);
  const text = readFileSync(new URL('../../../docs/clients.md', import.meta.url), 'utf8');
  const [section] = /^## tidings\.js\n.*?(?=^## )/ms.exec(text);
  const examples = [...section.matchAll(/^```js\n(.*?)^```$/gms)]
    .map(([, example]) => example.replaceAll('http://127.0.0.1:8080', own.base));
  assert.equal(examples.length, 3);
  const expected = [/^hello$/, /^open websocket /, /^\S+-1 hello$/];
  for (const [index, example] of examples.entries()) {
    const { page } = await Tab.blank(await browser.context(t), own.base);
    const said = page.waitForEvent('console', (line) => expected[index].test(line.text()));
    await page.evaluate(
      (example) => import(URL.createObjectURL(new Blob([example], { type: 'text/javascript' }))),
      example,
    );
    await said;
  }
});

test('TidingsEventSource says what the browser\'s own says', async (t) => {
  const topic = newTopic();
  await publish(server.base, topic, 'a\nb');
  await publish(server.base, topic, '{"a":1}', { type: 'application/json' });
  await publish(server.base, topic, 'last', { event: 'named' });
  const tab = await Tab.blank(await browser.context(t), server.base);
  const said = await tab.page.evaluate(async (topic) => {
    const { TidingsEventSource } = await import('/tidings.js');
    const run = (Source) => new Promise((resolve) => {
      const events = [];
      const source = new Source(`/topics/${encodeURIComponent(topic)}?after=earliest`);
      const said = ({ type, data, lastEventId, origin }) =>
        events.push([type, data, lastEventId, origin]);
      source.onopen = ({ type }) => events.push([type, source.readyState, source.url]);
      source.onmessage = said;
      source.addEventListener('named', (event) => {
        said(event);
        source.close();
        resolve([...events, source.readyState]);
      });
    });
    return [await run(TidingsEventSource), await run(EventSource)];
  }, topic);
  assert.deepEqual(said[0], said[1]);
  assert.equal(said[0].length, 5);
});
