// Turns what `tidings bench --json` wrote for each server, wire, part and repeat into one Markdown table.
//
//   node table.mjs DIRECTORY     with files SERVER.WIRE.PART.REPEAT.json, and `versions`: NAME<tab>VERSION
//
// A cell is the median of the repeats, and how many times tidings' figure on the same wire it is.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const perSecond = (microseconds) => 1e6 / microseconds;
const WIRES = { websocket: 'WebSocket', sse: 'SSE' };
const COLUMNS = [
  { title: 'bytes per idle connection', part: 'idle', name: 'bytes_per_connection' },
  { title: 'µs of CPU per connection', part: 'connect', name: 'cpu_us_per_connection' },
  { title: 'µs of CPU per delivery, one outstanding', part: 'one', name: 'cpu_us_per_delivery' },
  { title: 'median latency, ms: to each', part: 'one', name: 'latency_p50_us', scale: 1e-3 },
  { title: 'to the last', part: 'one', name: 'last_p50_us', scale: 1e-3 },
  {
    title: 'deliveries per CPU-second, sixteen outstanding: on sixteen connections',
    part: 'sixteen',
    name: 'cpu_us_per_delivery',
    convert: perSecond,
  },
  { title: 'on one, pipelined', part: 'pipelined', name: 'cpu_us_per_delivery', convert: perSecond },
];

const directory = process.argv[2];
const read = (file) => readFileSync(join(directory, file), 'utf8');
const versions = read('versions').trim().split('\n').map((line) => line.split('\t'));
const runs = readdirSync(directory).filter((file) => file.endsWith('.json')).map((file) => {
  const [server, wire, part, repeat] = file.split('.');
  return { server, wire, part, repeat, ...JSON.parse(read(file)) };
});

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// What the runs of one server say in a column: the median, and the spread about it.
function measured(server, wire, { part, name, scale = 1, convert = (value) => value }) {
  const values = runs
    .filter((run) => run.server === server && run.wire === wire && run.part === part)
    .map((run) => run.figures.find((figure) => figure.name === name && [wire, ''].includes(figure.of)))
    .filter((figure) => figure !== undefined)
    .map((figure) => convert(figure.value * scale));
  if (values.length === 0) return undefined;
  const middle = median(values);
  return { middle, spread: (Math.max(...values) - Math.min(...values)) / middle };
}

function digits(value) {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3).replace(/^(\d+)\..*$/, value >= 100 ? '$1' : '$&');
}

function cell(found, base) {
  if (found === undefined) return '–';
  if (base === undefined || base === found) return digits(found.middle);
  const ratio = found.middle / base.middle;
  return `${digits(found.middle)} (${ratio.toPrecision(ratio < 10 ? 2 : 3)}×)`;
}

const rows = [];
const spreads = COLUMNS.map(() => 0);
for (const [wire, label] of Object.entries(WIRES)) {
  const bases = COLUMNS.map((column) => measured('tidings', wire, column));
  for (const [server, version] of versions) {
    const found = COLUMNS.map((column, index) => {
      return server === 'tidings' ? bases[index] : measured(server, wire, column);
    });
    if (found.every((one) => one === undefined)) continue;
    found.forEach((one, index) => { spreads[index] = Math.max(spreads[index], one?.spread ?? 0); });
    rows.push([`${version}, ${label}`, ...found.map((one, index) => cell(one, bases[index]))]);
  }
}

const line = (cells) => `| ${cells.join(' | ')} |`;
console.log(line(['', ...COLUMNS.map((column) => column.title)]));
console.log(`|---|${COLUMNS.map(() => '---:|').join('')}`);
for (const row of rows) console.log(line(row));
const percent = spreads.map((spread) => `${Math.round(spread * 100)} %`).join(', ');
console.log(`\nBetween the repeats of one row the figures differed by at most, column by column: ${percent}.`);

// What a reader has to know before the figures are believed.
for (const { server, wire, part, repeat, remarks, figures } of runs) {
  const losses = ['missed', 'failed', 'failed_connects'];
  const lost = figures.filter(({ name, value }) => losses.includes(name) && value > 0);
  const words = [...new Set([...remarks, ...lost.map(({ name, value }) => `${name}: ${value}`)])];
  if (words.length > 0) console.error(`${server}, ${wire}, ${part}, repeat ${repeat}: ${words.join('; ')}`);
}
