// The chat: one WebSocket, both ways. What is said goes out on the connection that others' words come in by.

import { addLine, asObject, find, gapText, LAST, name, topicUrl } from './feed.js';

export class Chat {
  #pending = new Map(); // What is not acknowledged yet, by its request: { item, text }
  #requests = 0;
  #failures = 0;

  constructor(topic) {
    this.topic = topic;
    this.list = find('chat-list');
    find('chat').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#say(find('chat-text').value.trim());
    });
    find('chat-code').textContent = [
      `const socket = new WebSocket('${this.#url('last=20')}', 'tidings.json');`,
      'socket.onmessage = ({ data }) => show(JSON.parse(data));',
      `const say = (data) => socket.send(JSON.stringify({ type: 'publish', topic: ${JSON.stringify(topic)}, data }));`,
    ].join('\n');
  }

  #url(query) {
    const url = topicUrl(this.topic);
    url.protocol = url.protocol.replace('http', 'ws');
    url.search = query;
    return url;
  }

  arrange(on) {
    if (on && !this.socket) this.#open();
    if (!on) this.#close();
  }

  #close() {
    clearTimeout(this.timer);
    const { socket } = this;
    this.socket = undefined;
    socket?.close();
  }

  #open() {
    const url = this.#url(this.cursor === undefined ? `last=${LAST}` : `after=${this.cursor}`);
    const socket = (this.socket = new WebSocket(url, 'tidings.json'));
    socket.onmessage = ({ data }) => this.socket === socket && this.#take(JSON.parse(data));
    socket.onclose = ({ reason }) => {
      if (this.socket !== socket) return;
      for (const request of this.#pending.keys()) this.#refused(request, 'the connection was lost');
      const told = /^retry_ms=(\d+)$/.exec(reason);
      this.#failures += 1;
      const retryMs = told ? Number(told[1])
        : Math.random() * Math.min(30_000, 1000 * 2 ** this.#failures);
      if (!this.#tells) this.#tell('Not connected. Coming back by itself.');
      this.timer = setTimeout(() => this.#open(), retryMs);
    };
  }

  #take(value) {
    if (value.type === undefined) this.#add(value);
    this.cursor = value.id ?? value.cursor ?? this.cursor;
    if (value.type === 'open') {
      this.#failures = 0;
      this.#tell('');
    }
    if (value.type === 'gap') addLine(this.list, { text: gapText(value.count), kind: 'gap' });
    if (value.type === 'published') this.#settled(value.request);
    if (value.type === 'error') this.#refused(value.request, `${value.title}: ${value.detail}`);
  }

  #add({ time, data }) {
    const { name: who, text } = asObject(data);
    addLine(this.list, { at: time, who: who && String(who).slice(0, 20), text: String(text ?? '') });
  }

  #say(text) {
    if (!text) return;
    if (this.socket?.readyState !== WebSocket.OPEN) return this.#tell('Not connected. Coming back.');
    const request = (this.#requests += 1);
    const data = { name: name.value, text };
    this.socket.send(JSON.stringify({ type: 'publish', topic: this.topic, data, request }));
    this.#pending.set(request, text);
    this.#tell('');
    find('chat-text').value = '';
  }

  #settled(request) {
    const text = this.#pending.get(request);
    this.#pending.delete(request);
    return text;
  }

  #refused(request, why) {
    const text = this.#settled(request);
    this.#tell(`Not sent: ${why}`);
    if (text !== undefined && !find('chat-text').value) find('chat-text').value = text;
  }

  get #tells() {
    return find('chat-told').textContent;
  }

  #tell(text) {
    find('chat-told').textContent = text;
  }
}
