// The live log: the browser's own EventSource, which resumes by itself. Without a seat, a short poll goes on
// from its cursor.

import { publish, subscribe } from '../tidings.js';
import { addLine, asObject, find, gapText, LAST, name, topicUrl } from './feed.js';

export class Log {
  constructor(topic) {
    this.topic = topic;
    this.list = find('log-list');
    find('log-code').textContent = [
      `const source = new EventSource('${topicUrl(topic).pathname}?last=20');`,
      'source.onmessage = ({ data }) => show(JSON.parse(data));',
      "source.addEventListener('tidings:gap', ({ data }) => warn(data));",
    ].join('\n');
  }

  async add(text) {
    try {
      await publish(this.topic, { who: name.value, text, at: Date.now() });
      find('log-told').textContent = '';
    } catch (error) {
      if (error.status) find('log-told').textContent = `Not logged: ${error.message}`;
    }
  }

  arrange(on, seated) {
    const kind = !on ? undefined : seated ? 'stream' : 'poll';
    if (kind === this.kind) return;
    this.kind = kind;
    clearTimeout(this.timer);
    this.source?.close();
    this.cursor = this.source?.cursor ?? this.cursor;
    this.source = undefined;
    if (kind === 'stream') this.#open();
    if (kind === 'poll') {
      this.source = subscribe(this.topic, {
        via: 'poll',
        ...(this.cursor ? { after: this.cursor } : { last: LAST }),
        onMessage: ({ data }) => this.#take(data),
        onGap: ({ count }) => this.#gap(count),
      });
    }
  }

  #open() {
    const url = topicUrl(this.topic);
    url.search = this.cursor ? `after=${this.cursor}` : `last=${LAST}`;
    const source = (this.source = new EventSource(url));
    source.onopen = () => (find('log-told').textContent = '');
    source.onmessage = ({ data, lastEventId }) => {
      this.cursor = lastEventId;
      this.#take(data);
    };
    source.addEventListener('tidings:gap', ({ data, lastEventId }) => {
      this.cursor = lastEventId;
      this.#gap(JSON.parse(data).count);
    });
    source.onerror = () => {
      find('log-told').textContent = 'Not connected. Coming back by itself.';
      if (source.readyState !== EventSource.CLOSED) return;
      this.timer = setTimeout(() => this.#open(), 2000 + Math.random() * 3000); // It gave up; we do not.
    };
  }

  #take(data) {
    let line = data;
    if (typeof data === 'string') {
      try { line = JSON.parse(data); } catch { /* Text, then. */ }
    }
    const { at, who, text } = asObject(line);
    addLine(this.list, {
      at: Number.isFinite(at) ? at : undefined,
      who: who && String(who).slice(0, 20),
      text: String(text ?? '').slice(0, 500),
    });
  }

  #gap(count) {
    addLine(this.list, { text: gapText(count), kind: 'gap' });
  }
}
