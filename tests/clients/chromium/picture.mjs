// Takes docs/picture.png: the page of a real server, with every lane busy and one cut behind it.
//
//   node tests/clients/chromium/picture.mjs

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Server } from '../harness.mjs';
import { Browser } from './browser.mjs';
import { withPalette } from './palette.mjs';

const PATH = fileURLToPath(new URL('../../../docs/picture.png', import.meta.url));
const MESSAGES = 40; // What an event stream has received by then: enough to fill the chart.

const server = await Server.start();
const browser = await Browser.start();
const page = await browser.chromium.newPage({ viewport: { width: 1280, height: 1200 } });
await page.goto(server.base);
await page.locator('[data-wire="sse"] [data-show="received"]').waitFor();
const received = (count) => page.waitForFunction((count) => (
  Number(document.querySelector('[data-wire="sse"] [data-show="received"]').textContent) >= count), count);
await received(MESSAGES / 2);
await page.locator('[data-wire="sse"] .cut').click();
await received(MESSAGES);
await page.mouse.move(0, 0);
await page.evaluate(() => document.activeElement.blur());
const { y, height } = await page.locator('#race > .panel').boundingBox();
const clip = { x: 0, y: 0, width: 1280, height: Math.ceil(y + height + 12) };
writeFileSync(PATH, withPalette(await page.screenshot({ clip })));
await browser.stop();
await server.stop();
console.log(PATH);
