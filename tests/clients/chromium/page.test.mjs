// The page at `/`, as a visitor uses it: each of its four ways, its buttons, its three uses; and who reads it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cleanUp, DEADLINE_MS, newTopic, publish, Server, topicUrl } from '../harness.mjs';
import { toolFile } from '../tools.mjs';
import { Browser } from './browser.mjs';

const WIRES = ['poll', 'long-poll', 'sse', 'websocket'];
const LOCAL = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE/;

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

/** A browser of its own: its windows share connections, and nothing with another's. */
async function visitor(t, options = {}) {
  const context = await browser.chromium.newContext(options);
  cleanUp(t, () => context.close());
  context.setDefaultTimeout(DEADLINE_MS);
  return context;
}

/** The page, which must ask nobody but its server, and have nothing to complain of. */
async function open(t, context, { base = server.base, topic = newTopic('p'), grumbles = /^$/ } = {}) {
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  page.on('console', (message) => {
    const text = message.text();
    if (['error', 'warning'].includes(message.type()) && !grumbles.test(text)) complaints.push(text);
  });
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && origin !== base) complaints.push(`asked ${request.url()}`);
  });
  page.on('websocket', (socket) => {
    if (new URL(socket.url()).host !== new URL(base).host) complaints.push(`asked ${socket.url()}`);
  });
  cleanUp(t, () => assert.deepEqual(complaints, []));
  await page.goto(`${base}/?topic=${encodeURIComponent(topic)}`);
  return page;
}

/** Waits until `check` of the page's own world is true for `value`. */
const until = (page, check, value) => page.waitForFunction(check, value, { timeout: DEADLINE_MS });

const shown = (page, wire, name) => (
  page.locator(`.lane[data-wire="${wire}"] [data-show="${name}"]`).textContent());

const allOpen = (page) => until(page, () => (
  document.querySelectorAll('.lane .state[data-state="open"]').length === 4));

const received = (page, wire, count) => until(page, ([wire, count]) => {
  const text = document.querySelector(`.lane[data-wire="${wire}"] [data-show="received"]`).textContent;
  return Number(text.replaceAll(',', '')) >= count;
}, [wire, count]);

const says = (page, id, text) => until(page, ([id, text]) => (
  document.getElementById(id).textContent.includes(text)), [id, text]);

test('every one of the four ways receives, with its numbers', async (t) => {
  const page = await open(t, await visitor(t));
  for (const wire of WIRES) await received(page, wire, 5);
  await until(page, () => document.getElementById('summary').textContent.includes('times the requests'));
  for (const wire of WIRES) {
    for (const name of ['last', 'median', 'worst']) assert.match(await shown(page, wire, name), /\d m?s$/);
    assert.match(await shown(page, wire, 'bytes'), /\d k?B$/);
    assert.match(await shown(page, wire, 'said'), /^hello #\d+$/);
    assert.equal(await shown(page, wire, 'reconnects'), '0');
  }
  assert.equal(await shown(page, 'sse', 'requests'), '1');
  assert.equal(await shown(page, 'websocket', 'requests'), '1');
  assert.ok(Number(await shown(page, 'long-poll', 'requests')) > 5);
});

test('what is typed is published, and what others publish is received', async (t) => {
  const topic = newTopic('p');
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }), { topic });
  await allOpen(page);
  await page.getByLabel('Publish to').fill('<b>typed</b>');
  await page.keyboard.press('Enter');
  for (const wire of WIRES) await received(page, wire, 1);
  await until(page, () => document.querySelector('.said').textContent === '<b>typed</b> #1');
  await publish(server.base, topic, 'from elsewhere');
  for (const wire of WIRES) await received(page, wire, 2);
  await until(page, () => document.querySelector('[data-wire="sse"] .said').textContent === 'from elsewhere');
});

test('whoever wants less motion is asked before anything is published', async (t) => {
  const topic = newTopic('p');
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }), { topic });
  await allOpen(page);
  assert.equal(await page.locator('#rate-shown').textContent(), 'off');
  await page.getByLabel('Keep publishing').fill('20');
  await received(page, 'websocket', 10);
});

test('what is missed while a connection is cut is caught up', async (t) => {
  const page = await open(t, await visitor(t));
  await allOpen(page);
  for (const wire of WIRES) await page.locator(`.lane[data-wire="${wire}"] .cut`).click();
  for (const wire of WIRES) {
    await until(page, (wire) => (
      /^Back with its cursor: caught up [1-9]\d*, missed none\.$/
        .test(document.querySelector(`.lane[data-wire="${wire}"] .note`).textContent)), wire);
    await until(page, (wire) => (
      document.querySelector(`[data-wire="${wire}"] [data-show="reconnects"]`).textContent === '1'), wire);
  }
});

test('who is too slow is told how many are gone, and nothing else is missing', async (t) => {
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }));
  await page.getByRole('button', { name: 'Go too slow' }).click();
  await page.waitForFunction(() => (
    document.getElementById('slow-told').textContent.includes('all that was published')),
  undefined, { timeout: 60_000 });
  const told = await page.locator('#slow-told').textContent();
  const [, got, gone, sum] = /([\d,]+) received \+ ([\d,]+) declared gone = ([\d,]+)/.exec(told)
    .map((text) => Number(text.replaceAll(',', '')));
  assert.ok(gone > 0, told);
  assert.deepEqual([sum, got + gone], [2500, 2500]);
});

test('a server that keeps everything is not said to have a gap', async (t) => {
  const own = await Server.for(t, '--log-messages', 10_000);
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }), { base: own.base });
  await page.getByRole('button', { name: 'Go too slow' }).click();
  await page.waitForFunction(() => (
    document.getElementById('slow-told').textContent.startsWith('No gap: this server keeps more')),
  undefined, { timeout: 60_000 });
});

test('two windows chat, both ways, and a newcomer sees what was said', async (t) => {
  const topic = newTopic('p');
  const [one, two] = [
    await open(t, await visitor(t), { topic }), await open(t, await visitor(t), { topic }),
  ];
  const say = async (page, text) => {
    await page.getByLabel('Say something').fill(text);
    await page.keyboard.press('Enter');
  };
  for (const page of [one, two]) await page.waitForFunction(() => !document.getElementById('chat-told').textContent);
  await one.getByLabel('Your name').fill('Ada');
  await allOpen(one);
  await say(one, 'hello, two');
  await says(two, 'chat-list', 'Ada hello, two');
  await say(two, '<i>hello, one</i>');
  await says(one, 'chat-list', '<i>hello, one</i>');
  const three = await open(t, await visitor(t), { topic });
  await says(three, 'chat-list', 'hello, two');
  await says(three, 'chat-list', 'hello, one');
  assert.equal(await three.locator('#chat-list li').count(), 2);
});

test('the log tells everybody what one of them does', async (t) => {
  const topic = newTopic('p');
  const one = await open(t, await visitor(t), { topic });
  await says(one, 'log-list', 'opened this page');
  const two = await open(t, await visitor(t), { topic });
  await until(one, () => document.querySelectorAll('#log-list li').length === 2);
  await until(two, () => document.querySelectorAll('#log-list li').length === 2);
});

test('everybody sees how far a job is, and a reload goes on where it was', async (t) => {
  const topic = newTopic('p');
  const one = await open(t, await visitor(t), { topic });
  const two = await open(t, await visitor(t), { topic });
  const far = (page, percent) => page.waitForFunction(
    (percent) => document.getElementById('job-bar').value >= percent, percent, { timeout: 60_000 });
  await one.getByRole('button', { name: 'Start' }).click();
  await far(one, 3);
  await far(two, 3);
  await says(two, 'job-told', 'Another page counts');
  const before = await one.locator('#job-bar').evaluate((bar) => bar.value);
  await one.reload();
  await far(one, before + 2);
  assert.match(await one.locator('#log-list').textContent(), /carries on with the job at [1-9]/);
  await far(two, before + 2);
  await one.getByRole('button', { name: 'Stop' }).click();
  await says(one, 'job-told', 'Stopped');
  await says(two, 'job-told', 'Stopped');
  await two.getByRole('button', { name: 'Carry on' }).click();
  await says(one, 'job-told', 'Another page counts');
  await two.getByRole('button', { name: 'Stop' }).click();
});

test('of two windows one has the connections over HTTP, and the other goes on without', async (t) => {
  const topic = newTopic('p');
  const context = await visitor(t);
  const one = await open(t, context, { topic });
  await allOpen(one);
  const two = await open(t, context, { topic });
  await allOpen(two);
  await until(one, () => document.querySelectorAll('.state[data-state="paused"]').length === 2);
  await says(one, 'seat', 'Another window');
  await says(one, 'log-list', 'opened this page');
  await until(one, () => document.querySelectorAll('#log-list li').length === 2);
  const counted = Number(await shown(one, 'websocket', 'received'));
  await received(one, 'websocket', counted + 3);
  await two.close({ runBeforeUnload: true });
  await allOpen(one);
  await until(one, () => !document.getElementById('seat').textContent);
});

test('a hidden tab gives its connections back, and resumes', async (t) => {
  const own = await Server.for(t);
  const topic = newTopic('p');
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }), { base: own.base, topic });
  await allOpen(page);
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  const subscriptions = async () => {
    const text = await (await fetch(`${own.base}/metrics`)).text();
    const found = text.matchAll(/^tidings_subscriptions\{.*\} (\d+)$/gm);
    return [...found].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  assert.ok(await subscriptions() >= 5);
  await hide(true);
  const end = performance.now() + DEADLINE_MS;
  while (await subscriptions() > 0) assert.ok(performance.now() < end, 'connections are still open');
  for (let round = 0; round < 3; round += 1) await publish(own.base, topic, 'meanwhile');
  await hide(false);
  for (const wire of WIRES) await received(page, wire, 3);
});

test('a server that is gone is said to be gone, until it is back', async (t) => {
  const own = await Server.for(t);
  const page = await open(t, await visitor(t), { base: own.base, grumbles: LOCAL });
  await allOpen(page);
  for (const wire of WIRES) await received(page, wire, 1);
  own.process.kill('SIGKILL');
  await own.wait();
  await page.getByText('The server does not answer.').first().waitFor();
  await own.start();
  await page.waitForFunction(() => document.getElementById('banner').hidden, undefined, { timeout: 60_000 });
  await page.waitForFunction(() => (
    document.querySelectorAll('.lane .state[data-state="open"]').length === 4),
  undefined, { timeout: 60_000 });
  await until(page, () => (
    document.querySelector('[data-wire="websocket"] .note').textContent.includes('gone; the server said so')));
});

test('a topic that nobody may publish to says so', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-page-'));
  cleanUp(t, () => rm(folder, { recursive: true }));
  const file = join(folder, 'tidings.toml');
  await writeFile(file, '[[topic]]\nname = "read only"\npublish = "nobody"\n');
  const own = await Server.for(t, '--config', file);
  const page = await open(t, await visitor(t), { base: own.base, topic: 'read only', grumbles: /403/ });
  await says(page, 'status', 'Not published: 403');
  assert.equal(await page.locator('#rate-shown').textContent(), 'off');
});

test('a publish that is refused for now is tried again, and the page says so meanwhile', async (t) => {
  const topic = newTopic('p');
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }), { topic, grumbles: /503/ });
  await allOpen(page);
  const address = (url) => url.href === topicUrl(server.base, topic);
  await page.route(address, (route) => route.fulfill({
    status: 503, contentType: 'application/problem+json', body: '{"status":503,"title":"Service Unavailable"}',
  }));
  await page.getByRole('button', { name: 'Publish' }).click();
  await says(page, 'status', 'has not taken a message yet');
  await page.unroute(address);
  for (const wire of WIRES) await received(page, wire, 1);
  await until(page, () => !document.getElementById('status').textContent);
});

test('nothing is wider than a narrow screen', async (t) => {
  for (const width of [320, 390, 600, 900, 1280, 1600]) {
    const page = await open(t, await visitor(t, { viewport: { width, height: 844 } }));
    await received(page, 'websocket', 1);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  }
});

test('the keyboard reaches everything, from top to bottom, and one sees where it is', async (t) => {
  const page = await open(t, await visitor(t, { reducedMotion: 'reduce' }));
  await allOpen(page);
  const order = [];
  for (;;) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body || element.dataset.reached) return undefined;
      element.dataset.reached = 'yes';
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return {
        what: element.id || element.textContent.trim(),
        visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1,
      };
    });
    if (at === undefined) break;
    assert.ok(at.visible, `${at.what} has the focus, and does not show it`);
    order.push(at.what);
  }
  assert.deepEqual(order, [
    'Skip to the comparison', 'Side by side', 'Too slow', 'Three uses', 'text', 'Publish', 'rate', 'Copy',
    'freeze', ...WIRES.map(() => 'Cut the connection'), 'What is measured, and what this page takes of your browser',
    'slow-start', 'chat-list', 'chat-name', 'chat-text', 'Send', 'chat-pre', 'Copy the code',
    'log-list', 'log-pre', 'Copy the code', 'job-button', 'job-pre', 'Copy the code',
    'script', 'browser client',
  ]);
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing to complain of, ${colorScheme}`, async (t) => {
    const axe = readFileSync(toolFile('axe-core', 'axe.min.js'), 'utf8');
    for (const viewport of [{ width: 1280, height: 900 }, { width: 390, height: 844 }]) {
      const page = await open(t, await visitor(t, { colorScheme, viewport }));
      for (const wire of WIRES) await received(page, wire, 1);
      await page.locator('.cut').first().click();
      await page.getByText('What is measured').click();
      await page.getByRole('button', { name: 'Start' }).click();
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      const found = violations.flatMap(({ id, nodes }) => (
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary])));
      assert.deepEqual(found, []);
    }
  });
}
