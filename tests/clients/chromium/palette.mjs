// A screenshot with 256 colours instead of all: a third of the bytes, and no difference to look at.

import zlib from 'node:zlib';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');

/** `png`, which is what Chromium makes of a page (8 bits, RGB), with a palette. */
export function withPalette(png) {
  const chunks = parts(png);
  const header = Buffer.from(chunks.find(({ type }) => type === 'IHDR').data);
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  if (header[8] !== 8 || header[9] !== 2) throw new Error('not RGB with 8 bits');
  const data = chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data);
  const pixels = unfiltered(zlib.inflateSync(Buffer.concat(data)), width * 3, height);

  const counts = new Map();
  const colour = (index) => pixels.readUIntBE(index * 3, 3);
  for (let index = 0; index < width * height; index += 1) {
    counts.set(colour(index), (counts.get(colour(index)) ?? 0) + 1);
  }
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([value]) => value);
  const places = new Map([...counts.keys()].map((value) => [value, nearest(value, palette)]));
  const rows = Buffer.alloc((width + 1) * height);
  for (let index = 0; index < width * height; index += 1) {
    rows[index + Math.floor(index / width) + 1] = places.get(colour(index));
  }
  header[9] = 3;
  const entries = Buffer.alloc(palette.length * 3);
  palette.forEach((value, place) => entries.writeUIntBE(value, place * 3, 3));
  return Buffer.concat([
    SIGNATURE, chunk('IHDR', header), chunk('PLTE', entries),
    chunk('IDAT', zlib.deflateSync(rows, { level: 9, memLevel: 9 })), chunk('IEND', Buffer.alloc(0)),
  ]);
}

function parts(png) {
  const found = [];
  for (let at = SIGNATURE.length; at < png.length;) {
    const length = png.readUInt32BE(at);
    found.push({
      type: png.toString('latin1', at + 4, at + 8),
      data: png.subarray(at + 8, at + 8 + length),
    });
    at += length + 12;
  }
  return found;
}

function chunk(type, data) {
  const whole = Buffer.alloc(data.length + 12);
  whole.writeUInt32BE(data.length, 0);
  whole.write(type, 4, 'latin1');
  data.copy(whole, 8);
  whole.writeUInt32BE(zlib.crc32(whole.subarray(4, data.length + 8)), data.length + 8);
  return whole;
}

/** Undoes the filters of PNG (its specification, clause 9) for 3 bytes a pixel. */
function unfiltered(raw, stride, height) {
  const out = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const left = x >= 3 ? out[y * stride + x - 3] : 0;
      const up = y > 0 ? out[(y - 1) * stride + x] : 0;
      const upLeft = x >= 3 && y > 0 ? out[(y - 1) * stride + x - 3] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, upLeft)][filter];
      out[y * stride + x] = raw[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return out;
}

function paeth(left, up, upLeft) {
  const [a, b, c] = [up - upLeft, left - upLeft, left + up - 2 * upLeft].map(Math.abs);
  if (a <= b && a <= c) return left;
  return b <= c ? up : upLeft;
}

function nearest(value, palette) {
  const apart = (a, b, shift) => ((a >> shift & 255) - (b >> shift & 255)) ** 2;
  let [best, least] = [0, Infinity];
  palette.forEach((entry, place) => {
    const distance = apart(value, entry, 16) + apart(value, entry, 8) + apart(value, entry, 0);
    if (distance < least) [best, least] = [place, distance];
  });
  return best;
}
