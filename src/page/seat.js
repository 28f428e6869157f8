// Which of several windows holds the connections over HTTP: the one that was used last.
//
// Windows tell each other; there are no locks, as pages over plain HTTP from another machine have none.

export class Seat {
  onChange = () => {};
  #channel = new BroadcastChannel('tidings-page');
  #id = Math.random();
  #since = 0; // When we took it; 0 if we do not have it.

  constructor() {
    this.#channel.onmessage = ({ data: { what, since, id } }) => {
      if (what === 'free') return document.hidden || this.take();
      // Who took it later has it; of two at the same moment, one.
      const theirs = since > this.#since || (since === this.#since && id > this.#id);
      if (this.taken && theirs) this.#set(0);
    };
    addEventListener('focus', () => this.take());
    addEventListener('pagehide', () => this.leave());
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.leave();
      else this.take();
    });
    if (!document.hidden) this.take();
  }

  get taken() {
    return this.#since !== 0;
  }

  take() {
    if (this.taken) return;
    this.#set(Date.now());
    this.#tell('mine');
  }

  leave() {
    if (!this.taken) return;
    this.#set(0);
    this.#tell('free');
  }

  #tell(what) {
    this.#channel.postMessage({ what, since: this.#since, id: this.#id });
  }

  #set(since) {
    const changed = this.taken !== (since !== 0);
    this.#since = since;
    if (changed) this.onChange();
  }
}
