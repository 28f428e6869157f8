// The types of `/tidings.d.ts` are those of the client: a program that uses all of them compiles.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Server } from '../harness.mjs';
import { load } from './follower.mjs';

const COMPILER = fileURLToPath(
  new URL('../../.tools/node/node_modules/typescript/bin/tsc', import.meta.url),
);
const OPTIONS = '--noEmit --strict --target es2022 --module esnext --moduleResolution bundler '
  + '--lib es2022,dom';

const PROGRAM = `
import { publish, subscribe, TidingsEventSource } from './tidings.js';
import type { Gap, Message, State, Subscription, Wire } from './tidings.js';
const news: Subscription = subscribe<{ n: number }>(['a', 'b'], {
  via: 'long-poll', after: 'earliest', last: 3, url: new URL('http://localhost/'),
  onMessage: (message: Message<{ n: number }>) => message.data.n.toFixed() + message.event,
  onGap: ({ topic, count }: Gap) => [topic, count?.toFixed()],
  onState: (state: State, { via, retryMs, error }) => [
    state, via, retryMs?.toFixed(), error?.status,
  ],
  pauseWhenHidden: true, signal: new AbortController().signal,
});
const via: Wire = news.via;
const figures: number[] = [news.requests, news.bytes, news.reconnects];
const text: string = news.cursor + news.state;
news.close();
const id: Promise<string> = publish('a', { n: 1 }, {
  event: 'e', key: 'k', contentType: 'application/json', url: '/', signal: undefined,
});
const source: EventTarget = new TidingsEventSource('/topics/a', { via: 'auto' });
const state: 0 | 1 | 2 = new window.tidings.TidingsEventSource('/topics/a').readyState;
console.log(via, figures, text, id, source, state);
`;
const WRONG = [
  "subscribe('a', { via: 'pigeon' });",
  'subscribe(1);',
  "subscribe('a', { onMesage() {} });",
  "subscribe('a').cursor = 'x';",
  "publish('a').then((id) => id.toFixed());",
];

/** What the compiler complains of, for each program. */
async function complaints(t, types, programs) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'tidings.d.ts'), types);
  const files = programs.map((_, index) => join(folder, `program${index}.ts`));
  await Promise.all(programs.map((program, index) => writeFile(files[index], program)));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [COMPILER, ...OPTIONS.split(' '), ...files],
    { cwd: folder },
  ).catch((error) => error);
  return files.map((_, index) => stdout.split('\n')
    .filter((line) => line.includes(`program${index}.ts`)).join('\n'));
}

test('a program that uses the client as it is compiles, and others do not', async (t) => {
  const server = await Server.for(t);
  const answer = await fetch(`${server.base}/tidings.d.ts`);
  assert.match(answer.headers.get('Content-Type'), /typescript/);
  const wrong = WRONG.map((line) => `import { publish, subscribe } from './tidings.js';\n${line}`);
  const [right, ...others] = await complaints(t, await answer.text(), [PROGRAM, ...wrong]);
  assert.equal(right, '');
  others.forEach((complaint, index) => assert.notEqual(complaint, '', WRONG[index]));
});

test('the types name what the client has', async (t) => {
  const server = await Server.for(t);
  const types = await (await fetch(`${server.base}/tidings.d.ts`)).text();
  const client = await load(server.base);
  const exported = [...types.matchAll(/^export (?:class|function) (\w+)/gm)]
    .map(([, name]) => name);
  assert.deepEqual(exported.sort(), Object.keys(client).sort());
  const members = (name) => new Set(
    [...new RegExp(`^export interface ${name} {\n(.*?)^}`, 'ms').exec(types)[1]
      .matchAll(/^  (?:readonly )?(\w+)/gm)].map(([, member]) => member),
  );
  const subscription = client.subscribe('a', { url: `${server.base}/` });
  t.after(() => subscription.close());
  for (const member of members('Subscription')) assert.ok(member in subscription, member);
});
