// The chart: publishes as ticks on top, and below a lane for each wire with a line from publish to arrival.
//
// A line is drawn as soon as something is published and leans over until it arrives; so a wire that is
// late shows while it is late. Below it are the wire's requests, as long as they are held.

import { SHAPES } from './lane.js';

const PIXELS_PER_SECOND = 64;
const DENSE = 200; // Messages in a lane from which on the drawing is plainer, and half as often.
const EDGE = 10; // Pixels to the right of now, for the marks.
const STRIP = 6; // Pixels of height of what shows the requests.
const COLOURS = ['ink', 'quiet', 'line', 'panel', 'warn', 'poll', 'long-poll', 'sse', 'websocket'];
const shapes = Object.fromEntries(
  Object.entries(SHAPES).map(([via, path]) => [via, new Path2D(path)]),
);

export class Timeline {
  constructor(ledger, lanes, ticks) {
    Object.assign(this, { ledger, lanes, ticks });
    this.calm = matchMedia('(prefers-reduced-motion: reduce)');
    this.readColours();
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(query).addEventListener('change', () => this.readColours());
    }
    const sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) fit(target, contentRect);
      this.stale = true;
    });
    for (const canvas of [ticks, ...lanes.map((lane) => lane.canvas)]) sizes.observe(canvas);
    new IntersectionObserver((entries) => (this.seen = entries.at(-1).isIntersecting))
      .observe(ticks.closest('.lanes'));
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(
      COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
    this.stale = true;
  }

  /** Holds what is drawn, or lets it go on. */
  hold(on) {
    this.heldAt = on ? performance.now() : undefined;
  }

  /** Draws, if there is a reason to. Once a frame; once a second for who wants less motion. */
  draw(now) {
    const pace = this.calm.matches ? 1000 : this.dense ? 30 : 0;
    const due = this.heldAt === undefined && now - (this.drawnAt ?? 0) >= pace;
    if (!this.stale && !(due && this.seen)) return;
    this.stale = false;
    this.drawnAt = now;
    const at = this.heldAt ?? now;
    this.dense = this.lanes.some((lane) => lane.arrivals.length > DENSE);
    this.drawTicks(at);
    for (const lane of this.lanes) this.drawLane(lane, at);
  }

  begin(canvas, now) {
    const context = canvas.getContext('2d');
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    const x = (time) => width - EDGE - (now - time) * PIXELS_PER_SECOND / 1000;
    const from = now - (width - EDGE) / PIXELS_PER_SECOND * 1000;
    return { context, width, height, x, from };
  }

  // A line for each second that goes by.
  drawSeconds({ context, height, x, from }, now) {
    context.beginPath();
    for (let time = Math.ceil(from / 1000) * 1000; time <= now; time += 1000) {
      context.moveTo(Math.round(x(time)) + 0.5, 0);
      context.lineTo(Math.round(x(time)) + 0.5, height);
    }
    context.strokeStyle = this.colours.line;
    context.lineWidth = 1;
    context.globalAlpha = 0.6;
    context.stroke();
    context.globalAlpha = 1;
  }

  drawTicks(now) {
    const view = this.begin(this.ticks, now);
    const { context, width, height, x, from } = view;
    const top = 20;
    context.font = `12px ${getComputedStyle(this.ticks).fontFamily}`;
    context.fillStyle = this.colours.quiet;
    context.textAlign = 'right';
    context.fillText('now', width, 12);
    context.textAlign = 'center';
    const step = width < 480 ? 2 : 3;
    for (let seconds = step; x(now - seconds * 1000) > 24; seconds += step) {
      context.fillText(`${seconds} s ago`, x(now - seconds * 1000), 12);
    }
    context.beginPath();
    const size = this.dense ? 1 : 2;
    const tick = (born) => born >= from && born <= now && context.rect(x(born), top, size, height);
    const { published, others } = this.ledger;
    for (let number = published.length - 1; number >= 0; number -= 1) {
      if (published[number] < from) break;
      tick(published[number]);
    }
    others.forEach(tick);
    context.fillStyle = this.colours.ink;
    context.fill();
  }

  drawLane(lane, now) {
    lane.observe(now);
    const view = this.begin(lane.canvas, now);
    const { context, width, height, x, from } = view;
    const [top, base, strip] = [0, height - 22, height - STRIP - 2];
    const colour = this.colours[lane.via];
    this.drawSeconds({ ...view, height: base }, now);
    for (const cut of lane.cuts) this.drawCut(view, cut, now, base);

    context.lineJoin = 'round';
    context.strokeStyle = context.fillStyle = colour;
    // What is on its way leans towards now.
    const { published } = this.ledger;
    context.beginPath();
    for (let number = published.length - 1; number >= 0; number -= 1) {
      if (published[number] < from) break;
      if (lane.arrived.has(number) || !(published[number] <= now)) continue; // NaN: refused.
      context.moveTo(x(published[number]), top);
      context.lineTo(x(now), base);
    }
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.stroke();

    const arrivals = lane.arrivals.filter(({ at }) => at >= from && at <= now);
    context.beginPath();
    for (const { born, at } of arrivals) {
      context.moveTo(x(born), top);
      context.lineTo(x(at), base);
    }
    context.globalAlpha = this.dense ? 0.45 : 0.8;
    context.lineWidth = this.dense ? 1 : 1.6;
    context.stroke();
    context.globalAlpha = 1;

    context.fillStyle = this.colours.line;
    context.fillRect(0, base - 0.5, width, 1);
    context.fillStyle = colour;
    if (this.dense) {
      context.beginPath();
      for (const { at } of arrivals) context.rect(x(at) - 1.5, base - 4, 3, 8);
      context.fill();
    } else {
      for (const { at } of arrivals) this.drawMark(context, lane.via, x(at), base);
    }
    this.drawRequests(lane, view, now, strip);
    for (const gap of lane.gaps) if (gap.at <= now) this.drawGap(view, gap, base);
  }

  drawMark(context, via, x, y) {
    context.save();
    context.translate(x - 5, y - 5);
    context.scale(10 / 12, 10 / 12);
    context.fill(shapes[via]);
    context.restore();
  }

  // Short polls are over at once, long polls are held until something comes, streams do not end.
  drawRequests(lane, { context, x, from }, now, y) {
    context.globalAlpha = 0.55;
    for (const span of lane.spans) {
      const to = span.to ?? now;
      if (to < from || span.from > now) continue;
      const [left, right] = [x(span.from), x(Math.min(to, now))];
      context.fillRect(left, y, Math.max(3, right - left - (span.to ? 1.5 : 0)), STRIP);
    }
    context.globalAlpha = 1;
  }

  drawCut({ context, x, from }, cut, now, base) {
    const to = Math.min(cut.to ?? now, now);
    if (to < from || cut.from > now) return;
    const [left, right] = [x(cut.from), x(to)];
    context.fillStyle = this.colours.warn;
    context.globalAlpha = 0.1;
    context.fillRect(left, 0, right - left, base);
    context.globalAlpha = 1;
    context.font = `600 12px ${getComputedStyle(this.ticks).fontFamily}`;
    context.textAlign = 'left';
    if (right - left > 40) context.fillText('cut', Math.max(left, 0) + 6, base - 8);
  }

  drawGap({ context, x }, { at, count }, base) {
    context.fillStyle = this.colours.warn;
    context.fillRect(x(at) - 1.5, 0, 3, base);
    context.font = `600 12px ${getComputedStyle(this.ticks).fontFamily}`;
    context.textAlign = 'right';
    context.fillText(count === null ? 'gap' : `gap: ${count} gone`, x(at) - 6, 16);
  }
}

/** Gives a canvas the pixels that its place on the screen has. */
export function fit(canvas, { width, height }) {
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
}
