// The job: a thread that counts primes, and publishes how far it is. It ends with its page, and goes on
// from what it published last.

import { publish } from '../tidings.js';

const OF = 80_000_000;
const PARTS = 100;

let stopped = false;
onmessage = ({ data }) => {
  if (data.stop) stopped = true;
  else count(data);
};

async function count({ topic, run, since, part, found }) {
  const small = primesBelow(Math.ceil(Math.sqrt(OF)) + 1);
  while (part < PARTS && !stopped) {
    found += countBetween(part * OF / PARTS, (part + 1) * OF / PARTS, small);
    part += 1;
    await tell({ part });
  }
  if (stopped && part < PARTS) await tell({ part, stopped });
  postMessage({ ended: true });

  async function tell(more) {
    try {
      await publish(topic, { run, since, of: PARTS, found, below: part * OF / PARTS, ...more });
      postMessage({ error: '' });
    } catch (error) { // The next part says how far it is as well.
      postMessage({ error: `Not published: ${error.message}` });
    }
  }
}

function primesBelow(end) {
  const primes = [];
  for (let n = 2; n < end; n += 1) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes;
}

// By division, which takes its time: there has to be some progress to see.
function countBetween(from, to, small) {
  let found = 0;
  for (let n = Math.max(2, from); n < to; n += 1) {
    let prime = true;
    for (const divisor of small) {
      if (divisor * divisor > n) break;
      if (n % divisor === 0) {
        prime = false;
        break;
      }
    }
    if (prime) found += 1;
  }
  return found;
}
