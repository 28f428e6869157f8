// Tabs that share one connection (`share: true` of `/tidings.js`): each hears all, once, in order.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CuttingProxy, headCursor, newTopic, numbers, publish, publishAll, Server, within,
} from '../harness.mjs';
import { Browser } from './browser.mjs';
import { Tab } from './tab.mjs';

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

/** `count` tabs of one person, all open; the first one leads, and the next ones in their order. */
async function open(t, count, base, topics, options) {
  const context = await browser.context(t);
  const tabs = [];
  while (tabs.length < count) {
    tabs.push(await Tab.open(context, base, topics, { share: true, ...options }));
    await tabs.at(-1).reached('open');
  }
  return tabs;
}

/** Subscriptions that `own` has by a wire. */
async function subscriptions(own, wire) {
  const text = await (await fetch(`${own.base}/metrics`)).text();
  return Number(new RegExp(`^tidings_subscriptions{wire="${wire}"} (\\d+)$`, 'm').exec(text)[1]);
}

const hear = (tabs, count) => Promise.all(tabs.map((tab) => tab.texts(count)));

test('without sharing, six event streams are all that a browser has', async (t) => {
  const own = await Server.for(t);
  const context = await browser.context(t);
  const open = () => Tab.open(context, own.base, 'a', { via: 'sse' });
  for (let count = 0; count < 6; count += 1) await (await open()).reached('open');
  // The seventh does not even get the script.
  const seventh = await context.newPage();
  await assert.rejects(seventh.goto(`${own.base}/healthz`, { timeout: 2000 }), /Timeout/);
  assert.equal(await subscriptions(own, 'sse'), 6);
});

for (const via of ['auto', 'websocket', 'sse', 'ndjson', 'long-poll', 'poll']) {
  test(`eight tabs share one connection by ${via}`, async (t) => {
    const own = await Server.for(t);
    const topic = newTopic();
    const tabs = await open(t, 8, own.base, topic, { via });
    await publishAll(own.base, topic, numbers(20));
    for (const texts of await hear(tabs, 20)) assert.deepEqual(texts, numbers(20));
    const wire = { auto: 'websocket', 'long-poll': 'poll' }[via] ?? via;
    if (via !== 'poll') assert.equal(await subscriptions(own, wire), 1);
    const cursor = await headCursor(own.base, topic);
    for (const tab of tabs) assert.equal(await tab.property('cursor'), cursor);
    // Eight connections would have answered at least eight times as much.
    const requests = await Promise.all(tabs.map((tab) => tab.property('requests')));
    assert.ok(via === 'poll' || requests.reduce((sum, one) => sum + one) < 60, String(requests));
  });
}

test('a tab that comes later gets its own messages, from its own cursor', async (t) => {
  const topic = newTopic();
  const ids = await publishAll(server.base, topic, numbers(5));
  const [first] = await open(t, 1, server.base, topic, { after: 'latest' });
  const context = first.page.context();
  const others = await Promise.all(['earliest', ids[2], 'latest'].map(
    (after) => Tab.open(context, server.base, topic, { share: true, after }),
  ));
  const last = await Tab.open(context, server.base, topic, { share: true, last: 1 });
  for (const tab of [...others, last]) await tab.reached('open');
  await publishAll(server.base, topic, numbers(5, 5));
  const expected = [5, 0, 3, 5, 4].map((from) => numbers(10 - from, from));
  for (const [index, tab] of [first, ...others, last].entries()) {
    assert.deepEqual(await tab.texts(expected[index].length), expected[index]);
  }
});

test('tabs with different topics have one connection for all of them', async (t) => {
  const own = await Server.for(t);
  const [a, b, c] = [newTopic('a'), newTopic('\u{1F600}'), newTopic('\uFF21')];
  const [first] = await open(t, 1, own.base, [a, b]);
  const second = await Tab.open(first.page.context(), own.base, [b, c], { share: true });
  await second.reached('open');
  // The leader's connection has the new topic as soon as it has heard of it.
  const listened = async () => {
    const { topics } = await (await fetch(`${own.base}/topics`)).json();
    return topics.map(({ subscribers }) => subscribers.websocket).join();
  };
  await within((async () => { while ((await listened()) !== '1,1,1'); })(), 'all are subscribed');
  for (const round of numbers(5)) {
    for (const [name, topic] of Object.entries({ a, b, c })) {
      await publish(own.base, topic, `${name}${round}`);
    }
  }
  const texts = [await first.texts(10), await second.texts(10)].map((list) => list.sort());
  const of = (...names) => names.flatMap((name) => numbers(5).map((round) => name + round));
  assert.deepEqual(texts, [of('a', 'b'), of('b', 'c')]);
  assert.equal(await subscriptions(own, 'websocket'), 1);
  assert.equal(await second.property('cursor'), await headCursor(own.base, [b, c]));
});

test('a tab whose last subscription is closed keeps nothing', async (t) => {
  const [tab] = await open(t, 1, server.base, newTopic());
  const locks = () => tab.page.evaluate(async () => {
    const { held, pending } = await navigator.locks.query();
    return held.length + pending.length;
  });
  assert.equal(await locks(), 1);
  await tab.page.evaluate(() => window.subscription.close());
  await within((async () => { while ((await locks()) > 0); })(), 'the lock is given back');
});

for (const end of ['is closed', 'crashes', 'closes its subscription']) {
  test(`when the leading tab ${end}, the others go on`, async (t) => {
    const topic = newTopic();
    const tabs = await open(t, 4, server.base, topic);
    for (let round = 0; tabs.length > 1; round += 1) {
      await publishAll(server.base, topic, numbers(5, round * 10));
      await hear(tabs, round * 10 + 5);
      const leader = tabs.shift();
      if (end === 'is closed') await leader.page.close();
      else if (end === 'crashes') await leader.crash();
      else await leader.page.evaluate(() => window.subscription.close());
      await publishAll(server.base, topic, numbers(5, round * 10 + 5));
      for (const texts of await hear(tabs, round * 10 + 10)) {
        assert.deepEqual(texts, numbers(round * 10 + 10));
      }
    }
  });
}

test('a leading tab that freezes is replaced, and misses nothing when it goes on', async (t) => {
  const topic = newTopic();
  const tabs = await open(t, 3, server.base, topic);
  const [leader, ...others] = tabs;
  await publishAll(server.base, topic, numbers(5));
  await hear(tabs, 5);
  await leader.setFrozen(true);
  await publishAll(server.base, topic, numbers(5, 5));
  for (const texts of await hear(others, 10)) assert.deepEqual(texts, numbers(10));
  assert.equal(leader.heard.items.length, 5);
  await leader.setFrozen(false);
  await publishAll(server.base, topic, numbers(5, 10));
  for (const texts of await hear(tabs, 15)) assert.deepEqual(texts, numbers(15));
});

test('cuts and a restart are lived through by all tabs', async (t) => {
  const own = await Server.for(t);
  const proxy = await CuttingProxy.for(t, own.base);
  const topic = newTopic();
  const tabs = await open(t, 3, proxy.base, topic);
  for (let round = 0; round < 3; round += 1) {
    await publishAll(own.base, topic, numbers(5, round * 10));
    proxy.cut();
    await publishAll(own.base, topic, numbers(5, round * 10 + 5));
    for (const texts of await hear(tabs, round * 10 + 10)) {
      assert.deepEqual(texts, numbers(round * 10 + 10));
    }
  }
  await own.restart();
  await publish(own.base, topic, 'new');
  for (const { heard } of tabs) {
    const [{ gap }, { data }] = (await heard.atLeast(32)).slice(30);
    assert.deepEqual([gap, data], [{ topic, count: null }, 'new']);
    assert.equal(heard.items.length, 32);
  }
});

test('trimmed messages are told as one gap to each tab, by polls too', async (t) => {
  const own = await Server.for(t, '--log-messages', 10);
  for (const via of ['long-poll', 'websocket']) {
    const proxy = await CuttingProxy.for(t, own.base);
    const topic = newTopic();
    const tabs = await open(t, 3, proxy.base, topic, { via });
    await publishAll(own.base, topic, numbers(5));
    await hear(tabs, 5);
    proxy.target = 'http://127.0.0.1:1'; // The server is away,
    proxy.cut();
    await publishAll(own.base, topic, numbers(25, 5));
    proxy.target = own.base; // and back.
    for (const { heard } of tabs) {
      const [{ gap }, ...messages] = (await heard.atLeast(16)).slice(5);
      assert.deepEqual(gap, { topic, count: 15 }, via);
      assert.deepEqual(messages.map(({ data }) => data), numbers(10, 20), via);
    }
  }
});

test('a wrong topic ends the subscription that asked for it and no other', async (t) => {
  const topic = newTopic();
  const [first] = await open(t, 1, server.base, topic);
  const wrong = await Tab.open(first.page.context(), server.base, 'a>b', { share: true });
  assert.match((await wrong.reached('closed')).error, /400/);
  await publish(server.base, topic, 'heard');
  assert.deepEqual(await first.texts(1), ['heard']);
});

test('more topics than a connection may have: each tab has its own', async (t) => {
  const own = await Server.for(t, '--topics-per-connection', 3);
  const [first] = await open(t, 1, own.base, ['a', 'b']);
  const second = await Tab.open(first.page.context(), own.base, ['c', 'd'], { share: true });
  await second.reached('open');
  for (const topic of ['a', 'b', 'c', 'd']) await publish(own.base, topic, topic);
  assert.deepEqual([await first.texts(2), await second.texts(2)], [['a', 'b'], ['c', 'd']]);
});

test('a hidden tab that pauses leaves the others, and comes back where it was', async (t) => {
  const own = await Server.for(t);
  const topic = newTopic();
  const tabs = await open(t, 2, own.base, topic, { pauseWhenHidden: true });
  const [leader, other] = tabs;
  await leader.setHidden(true);
  await leader.reached('paused');
  await publishAll(own.base, topic, numbers(5));
  assert.deepEqual(await other.texts(5), numbers(5));
  assert.equal(leader.heard.items.length, 0);
  await leader.setHidden(false);
  for (const texts of await hear(tabs, 5)) assert.deepEqual(texts, numbers(5));
});

test('tabs come, go, freeze and are cut while messages are published', async (t) => {
  const own = await Server.for(t);
  const proxy = await CuttingProxy.for(t, own.base);
  const topic = newTopic();
  const tabs = await open(t, 4, proxy.base, topic, { after: 'earliest' });
  const context = tabs[0].page.context();
  let published = 0;
  const gone = [];
  for (let round = 0; round < 6; round += 1) {
    const publishing = publishAll(own.base, topic, numbers(30, published));
    published += 30;
    if (round % 3 === 0) proxy.cut();
    if (round % 3 === 1) {
      gone.push(tabs.shift());
      await gone.at(-1).page.close();
    }
    if (round % 3 === 2) await tabs[0].setFrozen(true);
    const options = { share: true, after: 'earliest' };
    tabs.push(await Tab.open(context, proxy.base, topic, options));
    await publishing;
    if (round % 3 === 2) await tabs[0].setFrozen(false);
  }
  const expected = numbers(published);
  for (const texts of await hear(tabs, published)) assert.deepEqual(texts, expected);
  for (const { heard } of gone) {
    const texts = heard.items.map(({ data }) => data);
    assert.deepEqual(texts, expected.slice(0, texts.length));
  }
  // Nothing comes behind the last one.
  await publish(own.base, topic, 'last');
  for (const tab of tabs) assert.equal((await tab.texts(published + 1)).at(-1), 'last');
});
