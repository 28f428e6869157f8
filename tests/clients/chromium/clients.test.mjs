// The browser's programs of docs/clients.md do what the page says. (tests/clients/documents runs the others.)

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { CuttingProxy, publish, publishAll, Server, within } from '../harness.mjs';
import { Browser } from './browser.mjs';

const PAGE = readFileSync(new URL('../../../docs/clients.md', import.meta.url), 'utf8');
const BLOCKS = [...PAGE.matchAll(/^```js ([\w,]+) ([\w-]+)\n(.*?)^```$/gms)]
  .filter(([, runners]) => runners.split(',').includes('browser'));
const ROUNDS = 3;
const PATIENCE_MS = 20_000;

let browser;
before(async () => { browser = await Browser.start(); });
after(() => browser.stop());

/** What the page says on its console, and a promise for when it has said something. */
function listen(page) {
  const said = { lines: [], waiting: [] };
  page.on('console', (message) => {
    if (message.type() !== 'log') return; // Chromium itself complains of connections that were cut.
    said.lines.push(message.text());
    said.waiting.forEach((check) => check());
  });
  said.until = (condition, ms) => within(new Promise((resolve) => {
    const check = () => condition(said.lines) && resolve();
    said.waiting.push(check);
    check();
  }), `what was waited for; it said ${JSON.stringify(said.lines)}`, ms);
  return said;
}

/** Publishes `text` with a number until one is heard; returns how many were published. */
async function hear(said, base, text) {
  for (let count = 0; count < PATIENCE_MS / 200;) {
    await publish(base, 'news', `${text} ${count}`);
    count += 1;
    const heard = (lines) => lines.some((line) => line.startsWith(text));
    if (await said.until(heard, 200).then(() => true, () => false)) return count;
  }
  throw new Error(`nothing was heard; it said ${JSON.stringify(said.lines)}`);
}

for (const [, , wire, source] of BLOCKS) {
  test(`the page's program for ${wire} misses nothing when it is cut`, async (t) => {
    const server = await Server.for(t);
    const proxy = await CuttingProxy.for(t, server.base);
    const page = await browser.page(t, proxy.base);
    const said = listen(page);
    // As pasted into the console: with `await` at the top.
    const pasted = source.replaceAll('127.0.0.1:8080', new URL(proxy.base).host);
    await page.evaluate((text) => {
      setTimeout(new Function(`(async () => {${text}})();`));
    }, pasted);
    const warm = await hear(said, server.base, 'warm');
    const numbers = (round, from) => [0, 1, 2, 3, 4].map((number) => `${round} ${from + number}`);
    const expected = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await publishAll(server.base, 'news', numbers(round, 0));
      proxy.cut();
      await publishAll(server.base, 'news', numbers(round, 5));
      expected.push(...numbers(round, 0), ...numbers(round, 5));
      await said.until((lines) => lines.includes(`${round} 9`), PATIENCE_MS);
    }
    const first = Number(said.lines[0].slice('warm '.length));
    for (let number = warm - 1; number >= first; number -= 1) expected.unshift(`warm ${number}`);
    assert.deepEqual(said.lines, expected);
    await server.restart();
    await hear(said, server.base, 'after the restart');
    assert.ok(said.lines.some((line) => line.startsWith('gone:')), 'the gap was not told');
  });
}

test('the page has a program for every wire of a browser', () => {
  const wires = BLOCKS.map(([, , wire]) => wire).sort();
  assert.deepEqual(wires, ['long-poll', 'ndjson', 'short-poll', 'sse', 'websocket']);
});
