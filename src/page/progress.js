// The progress of a job: a bar that everybody sees. The thread that does it belongs to the page that began
// it; where it is, is in the topic, so that a reload or somebody else can carry on.

import { publish, subscribe } from '../tidings.js';
import { find, kept, topicUrl } from './feed.js';

const STALLED_MS = 6000; // A job of which nothing was heard for so long has lost its thread.

export class Job {
  #last; // What was published last: { run, since, part, of, found, below, stopped? }
  #heardAt = -Infinity;
  #since = 0; // When our thread took the job: of two, the later one goes on.

  constructor(topic, log) {
    Object.assign(this, { topic, log });
    find('job-button').addEventListener('click', ({ target }) => {
      if (this.worker) this.worker.postMessage({ stop: true });
      else if (target.getAttribute('aria-disabled') !== 'true') this.#start();
    });
    setInterval(() => this.#show(), 1000);
    const path = topicUrl(topic).pathname;
    find('job-code').textContent = [
      "for (let at = 'last=1', bar = document.querySelector('progress'); ;) {",
      `  const { messages, cursor } = await (await fetch(\`${path}?wait=25&\${at}\`)).json();`,
      '  [at, bar.value] = [`after=${cursor}`, messages.at(-1)?.data.part ?? bar.value];',
      '}',
    ].join('\n');
  }

  arrange(on, seated) {
    const via = !on ? undefined : seated ? 'long-poll' : 'poll';
    if (via === this.via) return;
    this.via = via;
    this.cursor = this.subscription?.cursor ?? this.cursor;
    this.subscription?.close();
    this.subscription = via && subscribe(this.topic, {
      via,
      ...(this.cursor ? { after: this.cursor } : { last: 1 }),
      onMessage: (message) => this.#take(message),
      onState: (state, { error }) => state === 'closed' && error && this.#tell(error.message),
    });
  }

  #take({ data, time }) {
    if (!Number.isInteger(data?.part) || !(data.of > 0)) return;
    const isFirst = !this.#last;
    this.#last = data;
    // What was there before we came may be old.
    if (!isFirst || Math.abs(Date.now() - time) < STALLED_MS) this.#heardAt = performance.now();
    const isOurs = data.run === kept('job', () => '') && data.part < data.of && !data.stopped;
    if (isFirst && isOurs && !this.worker) this.#start(); // A reload has ended our thread.
    if (this.worker && data.since > this.#since) this.#end(); // Somebody else carries on.
    if (data.since === this.#since && data.part >= data.of) {
      this.log(`counted ${data.found.toLocaleString('en')} primes`);
    }
    this.#show();
  }

  #start() {
    const last = this.#last;
    const goesOn = last && last.part < last.of;
    const run = goesOn ? last.run : Math.random().toString(36).slice(2, 10);
    sessionStorage.setItem('tidings-job', run);
    this.#end();
    this.#since = Date.now();
    this.worker = new Worker(new URL('job.js', import.meta.url), { type: 'module' });
    this.worker.onmessage = ({ data }) => {
      if (data.ended) this.#end();
      this.#tell(data.error ?? this.error);
    };
    const { part, found } = goesOn ? last : { part: 0, found: 0 };
    this.worker.postMessage({ topic: this.topic, run, since: this.#since, part, found });
    this.log(goesOn ? `carries on with the job at ${part} %` : 'began a job');
    this.#heardAt = performance.now();
    this.#show();
  }

  #end() {
    this.worker?.terminate();
    this.worker = undefined;
  }

  #tell(error) {
    this.error = error;
    this.#show();
  }

  #show() {
    const last = this.#last;
    const percent = last ? Math.floor(100 * last.part / last.of) : 0;
    const done = last && last.part >= last.of;
    const quiet = !this.worker && performance.now() - this.#heardAt > STALLED_MS;
    const rests = !last || done || last.stopped || quiet;
    const set = (id, text) => find(id).textContent === text || (find(id).textContent = text);
    find('job-bar').value = percent;
    set('job-percent', `${percent} %`);
    set('job-told', this.error || this.#told(done, quiet));
    set('job-button', this.worker ? 'Stop' : !last ? 'Start' : done ? 'Start again' : 'Carry on');
    find('job-button').setAttribute('aria-disabled', !this.worker && !rests);
  }
  #told(done, quiet) {
    const last = this.#last;
    if (!last) return this.worker ? 'It begins.' : 'Nobody has started one.';
    const [found, below] = [last.found, last.below].map((value) => Number(value).toLocaleString('en'));
    const far = `${found} primes below ${below}`;
    if (done) return `Done: ${far}.`;
    if (this.worker) return `${far}. This page counts.`;
    if (last.stopped) return `Stopped: ${far}.`;
    return `${far}. ${quiet ? 'Its page is gone; anybody can carry on.' : 'Another page counts.'}`;
  }
}
