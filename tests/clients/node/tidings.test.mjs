// The client of `/tidings.js` on every wire: messages, cursors, cuts, restarts, refusals.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { scripted } from '../front.mjs';
import {
  CuttingProxy, headCursor, newTopic, numbers, publish, publishAll, Server, within,
} from '../harness.mjs';
import { tool } from '../tools.mjs';
import { Follower, load } from './follower.mjs';

const WIRES = ['websocket', 'sse', 'ndjson', 'long-poll', 'poll'];
const ALL = ['auto', ...WIRES];

let server;
let client;
before(async () => {
  server = await Server.start('--drain-spread', 1, '--drain-max', 8);
  client = await load(server.base);
});
after(() => server.stop());

const follow = (t, topics, options) => Follower.on(t, client, server.base, topics, options);
const json = (answer, status, body, headers) => {
  answer.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  answer.end(JSON.stringify(body));
};

test('a message is the same on every wire', async (t) => {
  const topic = newTopic();
  await publish(server.base, topic, 'a\r\nb\n\u2028 é😀', { event: 'say' });
  await publish(server.base, topic, '', { type: 'text/html' });
  await publish(server.base, topic, '{"a":[1,null]}', { type: 'application/json' });
  await publish(server.base, topic, '"text"', { type: 'application/json' });
  await publish(server.base, topic, Uint8Array.of(0, 255), { type: 'image/png' });
  const followers = WIRES.map((via) => follow(t, topic, { via, after: 'earliest' }));
  const [first, ...others] = await Promise.all(
    followers.map(({ heard }) => heard.atLeast(5)),
  );
  assert.deepEqual(
    first.map(({ data }) => data),
    ['a\r\nb\n\u2028 é😀', '', { a: [1, null] }, 'text', 'AP8='],
  );
  assert.deepEqual(Object.keys(first[0]).sort(), ['data', 'event', 'id', 'time', 'topic']);
  for (const other of others) assert.deepEqual(other, first);
  for (const { subscription } of followers) assert.equal(subscription.cursor, first[4].id);
});

test('`last` begins so many messages before the head', async (t) => {
  const topic = newTopic();
  await publishAll(server.base, topic, numbers(5));
  const followers = ALL.map((via) => follow(t, topic, { via, last: 2 }));
  await Promise.all(followers.map(({ heard }) => heard.atLeast(2)));
  await publish(server.base, topic, '5');
  for (const follower of followers) assert.deepEqual(await follower.texts(3), ['3', '4', '5']);
});

for (const via of ALL) {
  describe(via, () => {
    test('what is published is heard once, however often it is cut', async (t) => {
      const proxy = await CuttingProxy.for(t, server.base);
      const topic = newTopic();
      const follower = Follower.on(t, client, proxy.base, topic, { via });
      await follower.reached('open');
      for (let round = 0; round < 3; round += 1) {
        await publishAll(server.base, topic, numbers(5, round * 10));
        await follower.heard.atLeast(round * 10 + 5);
        proxy.cut();
        await publishAll(server.base, topic, numbers(5, round * 10 + 5));
        assert.deepEqual(await follower.texts(round * 10 + 10), numbers(round * 10 + 10));
      }
      assert.ok(via === 'poll' || follower.subscription.reconnects > 0);
    });

    test('several topics resume with one cursor, closed in the middle', async (t) => {
      // U+FF21 is before U+1F600 in bytes and behind it in JavaScript's own order.
      const topics = [newTopic('b'), newTopic('\u{1F600}'), newTopic('a'), newTopic('\uFF21')];
      let cursor = await headCursor(server.base, topics);
      for (const number of numbers(3)) {
        for (const topic of topics) await publish(server.base, topic, number);
      }
      const heard = [];
      while (heard.length < 12) {
        const follower = follow(t, topics, {
          via,
          after: cursor,
          onMessage({ topic, data }) {
            heard.push([topic, data]);
            if (heard.length % 5 === 0 || heard.length === 12) follower.subscription.close();
          },
        });
        await follower.reached('closed');
        cursor = follower.subscription.cursor;
      }
      for (const topic of topics) {
        const mine = heard.filter(([name]) => name === topic).map(([, data]) => data);
        assert.deepEqual(mine, numbers(3), topic);
      }
      assert.equal(cursor, await headCursor(server.base, topics));
    });

    test('a restart is told as a gap, and what comes after it is heard', async (t) => {
      const own = await Server.for(t);
      const topic = newTopic();
      const follower = Follower.on(t, client, own.base, topic, { via });
      await follower.reached('open');
      await publish(own.base, topic, 'one');
      await follower.heard.atLeast(1);
      await own.restart();
      await publish(own.base, topic, 'two');
      const [, { gap }, { data }] = await follower.heard.atLeast(3);
      assert.deepEqual([gap, data], [{ topic, count: null }, 'two']);
    });

    test('a wrong request closes it with what the server said', async (t) => {
      const follower = follow(t, 'not*allowed', { via });
      const { error } = await follower.reached('closed');
      assert.equal(error.status, 400);
      assert.match(error.message, /\*/);
      assert.equal(follower.subscription.state, 'closed');
    });
  });
}

test('a stream that is cut in every part of a line loses and repeats nothing', async (t) => {
  for (const via of ['sse', 'ndjson', 'websocket', 'long-poll']) {
    const topic = newTopic();
    const head = await headCursor(server.base, topic);
    await publishAll(server.base, topic, numbers(40));
    let [budget, heard, cursor] = [500, [], head];
    while (heard.length < 40) {
      budget += 37;
      const proxy = await CuttingProxy.for(t, server.base, () => budget);
      const follower = Follower.on(t, client, proxy.base, topic, { via, after: cursor });
      // It waits when it was cut, or has all.
      await Promise.race([follower.reached('waiting'), follower.heard.atLeast(40 - heard.length)]);
      follower.subscription.close();
      heard.push(...follower.heard.items.map(({ data }) => data));
      cursor = follower.subscription.cursor;
    }
    assert.deepEqual(heard, numbers(40), via);
  }
});

test('bytes are those of the bodies that came', async (t) => {
  const envelope = '{"topic":"a","id":"00000001-1","time":1,"data":"é"}';
  const stream = `id: 00000001-0\n\nid: 00000001-1\ndata: ${envelope}\n\n`;
  const page = `{"messages":[${envelope}],"cursor":"00000001-1"}`;
  const { base } = await scripted(t, (answer, { headers }) => {
    if (headers.accept !== 'text/event-stream') return json(answer, 200, JSON.parse(page));
    answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
    answer.write(stream);
  });
  for (const [via, body] of [['sse', stream], ['poll', page]]) {
    const follower = Follower.on(t, client, base, 'a', { via });
    await follower.heard.atLeast(1);
    const { bytes, requests, reconnects } = follower.subscription;
    assert.deepEqual([bytes, requests, reconnects], [Buffer.byteLength(body), 1, 0], via);
    follower.subscription.close();
  }
});

describe('it comes back no sooner than the server said', () => {
  const stream = (type, text) => (answer) => {
    answer.writeHead(200, { 'Content-Type': type });
    answer.end(text);
  };
  const drain = 'event: tidings:drain\ndata: {"retry_ms":1000}\n\n';
  const line = '{"type":"open","cursor":"00000001-0"}\n{"type":"drain","retry_ms":1000}\n';
  for (const [name, via, answer] of [
    ['Retry-After', 'sse', (answer) => json(answer, 503, {}, { 'Retry-After': '1' })],
    ['retry:', 'sse', stream('text/event-stream', 'retry: 1000\nid: 00000001-0\n\n')],
    ['tidings:drain', 'sse', stream('text/event-stream', `id: 00000001-0\n\n${drain}`)],
    ['a drain line', 'ndjson', stream('application/x-ndjson', line)],
  ]) {
    test(name, async (t) => {
      t.mock.method(Math, 'random', () => 0);
      const { base, requests } = await scripted(t, answer);
      const follower = Follower.on(t, client, base, 'a', { via });
      await comesBack(follower, requests);
    });
  }

  test('close 1012', async (t) => {
    t.mock.method(Math, 'random', () => 0);
    const requests = [];
    const listener = new (tool('ws').WebSocketServer)({ host: '127.0.0.1', port: 0 });
    t.after(() => listener.close());
    listener.on('connection', (socket) => {
      requests.push({ at: performance.now() });
      socket.close(1012, 'retry_ms=1000');
    });
    await once(listener, 'listening');
    const base = `http://127.0.0.1:${listener.address().port}`;
    const follower = Follower.on(t, client, base, 'a', { via: 'websocket' });
    await comesBack(follower, requests);
  });

  async function comesBack(follower, requests) {
    while (requests.length < 3) {
      await follower.states.atLeast(follower.states.items.length + 1);
    }
    follower.subscription.close();
    const [one, two, three] = requests.map(({ at }) => at);
    assert.ok(two - one >= 990 && three - two >= 990, String([one, two, three]));
  }
});

test('a drain says when to come back, and it does', async (t) => {
  for (const via of ['websocket', 'sse', 'ndjson']) {
    const own = await Server.for(t, '--drain-spread', 1);
    const topic = newTopic();
    const follower = Follower.on(t, client, own.base, topic, { via, after: 'earliest' });
    await publish(own.base, topic, 'one');
    await follower.heard.atLeast(1);
    own.terminate();
    const { retryMs } = await follower.reached('waiting');
    assert.ok(retryMs > 0, via);
    assert.equal(await own.wait(), 0);
    await own.start();
    await publish(own.base, topic, 'two');
    const [, { gap }, { data }] = await follower.heard.atLeast(3);
    assert.deepEqual([gap, data], [{ topic, count: null }, 'two'], via);
    follower.subscription.close();
  }
});

test('waits between failures are drawn from a window that doubles', async (t) => {
  const random = t.mock.method(Math, 'random', () => 0.25);
  const gone = await Server.start();
  await gone.stop();
  for (const via of ['sse', 'auto']) {
    const follower = Follower.on(t, client, gone.base, 'a', { via });
    let [waits, skip] = [[], 0];
    while (waits.length < 3) {
      const { retryMs } = await follower.reached('waiting', skip);
      skip = follower.states.items.length;
      waits.push(retryMs);
    }
    assert.deepEqual(waits, [250, 500, 1000], via);
    follower.subscription.close();
  }
  assert.ok(random.mock.callCount() >= 6);
});

test('a subscription that is closed in a callback calls no other', async (t) => {
  const topic = newTopic();
  await publishAll(server.base, topic, numbers(10));
  for (const via of WIRES) {
    const follower = follow(t, topic, { via, after: 'earliest', onMessage: (message) => {
      follower.heard.push(message);
      follower.subscription.close();
    } });
    const { error } = await follower.reached('closed');
    await publish(server.base, topic, 'more');
    assert.equal(error, undefined);
    assert.equal(follower.heard.items.length, 1, via);
    assert.equal(follower.subscription.cursor, follower.heard.items[0].id);
    assert.equal(follower.states.items.at(-1).state, 'closed');
  }
});

test('a subscription may be closed in any state', async (t) => {
  for (const state of ['connecting', 'open', 'waiting']) {
    const base = state === 'waiting' ? 'http://127.0.0.1:1' : server.base;
    const follower = Follower.on(t, client, base, newTopic(), { onState: (now) => {
      follower.states.push({ state: now });
      if (now === state) follower.subscription.close();
    } });
    await follower.reached('closed');
    const before = follower.states.items.length;
    await once(setImmediate, 'nothing', { signal: AbortSignal.timeout(50) }).catch(() => {});
    assert.equal(follower.states.items.length, before, state);
  }
});

test('a signal closes it, before or after it began', async (t) => {
  const late = new AbortController();
  const follower = follow(t, newTopic(), { signal: late.signal });
  await follower.reached('open');
  late.abort();
  assert.equal(follower.subscription.state, 'closed');
  const never = follow(t, newTopic(), { signal: AbortSignal.abort() });
  await never.reached('closed');
  assert.deepEqual([never.states.items.length, never.subscription.requests], [1, 0]);
});

test('callbacks that throw end nothing', async (t) => {
  const reported = t.mock.method(console, 'error', () => {});
  const topic = newTopic();
  for (const via of WIRES) {
    const follower = follow(t, topic, {
      via,
      onMessage(message) {
        follower.heard.push(message);
        throw new Error('mine');
      },
      onState(state) {
        follower.states.push({ state });
        throw new Error('mine');
      },
    });
    await follower.reached('open');
    await publishAll(server.base, topic, ['one', 'two']);
    assert.deepEqual(await follower.texts(2), ['one', 'two']);
    follower.subscription.close();
  }
  assert.ok(reported.mock.callCount() >= 5 * 5);
});

test('wrong options are refused at once', () => {
  const url = `${server.base}/`;
  assert.throws(() => client.subscribe('a', { url, via: 'pigeon' }), /no wire "pigeon"/);
  assert.throws(() => client.subscribe('..', { url }), /browsers cannot/);
  assert.throws(() => client.subscribe('a'), /`url`/);
});

test('a publish whose answer is lost is repeated and published once', async (t) => {
  let connections = 0;
  const proxy = await CuttingProxy.for(t, server.base, () => (connections++ === 0 ? 10 : Infinity));
  const topic = newTopic();
  const id = await client.publish(topic, 'once', { url: `${proxy.base}/` });
  await client.publish(topic, 'twice', { url: `${proxy.base}/` });
  const follower = follow(t, topic, { after: 'earliest' });
  assert.deepEqual(await follower.texts(2), ['once', 'twice']);
  assert.equal(follower.heard.items[0].id, id);
  assert.ok(proxy.cuts > 0);
});

test('a publish waits as long as the server says and gives up on what is wrong', async (t) => {
  const { base, requests } = await scripted(
    t,
    (answer) => json(answer, 503, {}, { 'Retry-After': '1' }),
    (answer) => json(answer, 201, { topic: 'a', id: 'i' }),
  );
  assert.equal(await client.publish('a', 'x', { url: `${base}/` }), 'i');
  const [one, two] = requests;
  assert.ok(two.at - one.at >= 990);
  assert.equal(one.headers['idempotency-key'], two.headers['idempotency-key']);
  const wrong = client.publish('a', '{', {
    url: `${server.base}/`,
    contentType: 'application/json',
  });
  await assert.rejects(wrong, { status: 400 });
  const left = AbortSignal.abort();
  await assert.rejects(client.publish('a', 'x', { url: base, signal: left }), /abort/i);
});

test('what is published arrives as what it was', async (t) => {
  const topic = newTopic();
  const url = `${server.base}/`;
  await client.publish(topic, 'text', { url, event: 'é' });
  await client.publish(topic, { a: 1 }, { url });
  await client.publish(topic, Uint8Array.of(0, 255), { url });
  await client.publish(topic, new Blob(['<p>'], { type: 'text/html' }), { url });
  await client.publish(topic, '[1]', { url, contentType: 'application/json' });
  const follower = follow(t, topic, { after: 'earliest' });
  const messages = await follower.heard.atLeast(5);
  assert.deepEqual(
    messages.map(({ data, event, content_type: type }) => [data, event, type]),
    [
      ['text', 'é', undefined],
      [{ a: 1 }, undefined, undefined],
      ['AP8=', undefined, 'application/octet-stream'],
      ['<p>', undefined, 'text/html'],
      [[1], undefined, undefined],
    ],
  );
});

test('a program ends when its subscription is closed', async () => {
  const source = await (await fetch(`${server.base}/tidings.js`)).text();
  const program = `${source}
    for (const via of ['sse', 'ndjson', 'long-poll', 'poll']) {
      const news = subscribe('a', { via, url: '${server.base}/', onState(state) {
        if (state === 'open') news.close();
      } });
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await within(once(child, 'exit'), 'the program ends')
    .finally(() => child.kill('SIGKILL'));
  assert.equal(code, 0);
});

describe('TidingsEventSource', () => {
  // What a page that was written for EventSource does, with either.
  async function scenario(t, Source) {
    const topic = newTopic();
    const url = `${server.base}/topics/${encodeURIComponent(topic)}?after=earliest`;
    await publish(server.base, topic, 'a\nb');
    await publish(server.base, topic, '{"a":1}', { type: 'application/json' });
    await publish(server.base, topic, '"q"', { type: 'application/json' });
    const third = await publish(server.base, topic, 'named', { event: 'name' });
    const events = [];
    const source = new Source(url);
    t.after(() => source.close());
    assert.deepEqual([source.url, source.readyState], [url, source.CONNECTING]);
    const said = ({ type, data, lastEventId }) => events.push([type, data, Boolean(lastEventId)]);
    source.onopen = ({ type }) => events.push([type, source.readyState]);
    source.onmessage = said;
    await within(new Promise((resolve) => source.addEventListener('name', (event) => {
      said(event);
      assert.equal(event.lastEventId, third);
      assert.equal(event.origin, server.base);
      resolve();
    })), 'the last event');
    source.close();
    return [...events, source.readyState];
  }

  test('it says what EventSource says', async (t) => {
    const { EventSource } = tool('eventsource');
    const said = await scenario(t, client.TidingsEventSource);
    assert.deepEqual(said, await scenario(t, EventSource));
    assert.equal(said.length, 6);
  });

  test('it tells of errors, comes back, and is closed by what is wrong', async (t) => {
    const proxy = await CuttingProxy.for(t, server.base);
    const topic = newTopic();
    const address = (name) => `${proxy.base}/topics/${encodeURIComponent(name)}`;
    const source = new client.TidingsEventSource(address(topic), { via: 'websocket' });
    t.after(() => source.close());
    await within(once(source, 'open'), 'it opens');
    proxy.cut();
    await within(once(source, 'error'), 'it tells of the cut');
    assert.equal(source.readyState, source.CONNECTING);
    await publish(server.base, topic, 'after');
    const [{ data }] = await within(once(source, 'message'), 'it comes back');
    assert.equal(data, 'after');
    const wrong = new client.TidingsEventSource(address('*'));
    await within(once(wrong, 'error'), 'it is refused');
    assert.equal(wrong.readyState, client.TidingsEventSource.CLOSED);
    assert.throws(() => new client.TidingsEventSource(proxy.base), TypeError);
  });
});
