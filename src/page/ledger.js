// What was published and when, and how this page's clock relates to the server's.

export class Ledger {
  // Messages of this page carry this mark and a number, so that everyone knows when they left.
  mark = Math.random().toString(36).slice(2, 10);
  published = []; // When, by number; NaN if it was refused. Times are performance.now()'s.
  others = new Map(); // When messages of others were published, by their ids.
  // The server's milliseconds less ours are in between: a message was sequenced after it left
  // here, and before it arrived.
  #ahead = { min: -Infinity, max: Infinity };

  /** A body to publish now. */
  next(text) {
    const number = this.published.push(performance.now()) - 1;
    return { text, number, from: this.mark };
  }

  /** The number that a body has if it was published by this page. */
  ownNumber(body) {
    return body?.from === this.mark ? body.number : undefined;
  }

  /** When a message that arrived now was published; undefined if nobody can tell. */
  bornAt({ id, time }, own, now) {
    if (own !== undefined) {
      const born = this.published[own];
      if (time !== undefined && born !== undefined) {
        this.#ahead.min = Math.max(this.#ahead.min, time - now);
        this.#ahead.max = Math.min(this.#ahead.max, time + 1 - born);
      }
      return born;
    }
    if (time === undefined) return this.others.get(id);
    const { min, max } = this.#ahead;
    const ahead = Number.isFinite(min + max) ? (min + max) / 2 : performance.timeOrigin;
    const born = Math.min(now, time - ahead);
    if (!this.others.has(id)) this.others.set(id, born);
    if (this.others.size > 2000) this.others.delete(this.others.keys().next().value);
    return born;
  }
}
