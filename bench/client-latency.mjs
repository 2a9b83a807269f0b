#!/usr/bin/env node
// What a call costs: our client against libvirt-python and a spawned virsh, on the same real libvirtd, in turns.
// Prints ratios: absolute times belong to the machine. Run it as: npm run build && node ci/real-libvirt.mjs node bench/client-latency.mjs
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connect } from '../dist/harness/libvirt/index.js';

const ROUNDS = 15;
const CALLS = 1000;
const VIRSH_CALLS = 5;
const SEQUENTIAL_GOAL = 1.5;
const IN_FLIGHT_GOAL = 1;

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined) {
  console.error('SEV_HARNESS_REAL_URI is not set: run node ci/real-libvirt.mjs node bench/client-latency.mjs');
  process.exit(2);
}

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** libvirt-python, which measures itself on request: `sequential 1000` answers with milliseconds for each call. */
function startPython() {
  const script = fileURLToPath(new URL('client-latency.py', import.meta.url));
  const child = spawn('/usr/bin/python3', [script, uri ?? '', name], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    /** @param {string} request @returns {Promise<number>} */
    measure: async (request) => {
      child.stdin.write(`${request}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('libvirt-python ended');
      return Number(value);
    },
    end: () => child.stdin.end(),
  };
}

const name = `sevh-bench-${process.pid}`;
const connection = await connect(uri);
const domain = await connection.defineDomain(
  `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`,
);
const dom = { name, uuid: domain.uuid, id: -1 };
const ask = () => connection.call('domainGetInfo', { dom });

async function sequential() {
  const started = performance.now();
  for (let index = 0; index < CALLS; index++) await ask();
  return (performance.now() - started) / CALLS;
}

async function inFlight() {
  const started = performance.now();
  await Promise.all(Array.from({ length: CALLS }, ask));
  return (performance.now() - started) / CALLS;
}

function virsh() {
  const started = performance.now();
  for (let index = 0; index < VIRSH_CALLS; index++) {
    const { status } = spawnSync('virsh', ['-c', uri ?? '', 'dominfo', name], { stdio: 'ignore' });
    if (status !== 0) throw new Error(`virsh dominfo ended with ${status}`);
  }
  return (performance.now() - started) / VIRSH_CALLS;
}

const python = startPython();
/** @type {Record<string, number[]>} */
const times = { ours: [], oursTogether: [], python: [], pythonThreads: [], virsh: [] };
try {
  for (let round = -2; round < ROUNDS; round++) {
    const sample = {
      ours: await sequential(),
      python: await python.measure(`sequential ${CALLS}`),
      oursTogether: await inFlight(),
      pythonThreads: await python.measure(`threads ${CALLS}`),
      virsh: virsh(),
    };
    // The first rounds warm up compilers and caches.
    if (round >= 0) for (const [key, value] of Object.entries(sample)) times[key]?.push(value);
  }
} finally {
  python.end();
  await domain.undefine();
  await connection.close();
}

const ms = Object.fromEntries(Object.entries(times).map(([key, values]) => [key, median(values)]));
const line = (/** @type {string} */ text, /** @type {number | undefined} */ value) =>
  console.log(`${text.padEnd(52)} ${(value ?? Number.NaN).toFixed(4)} ms`);
line('sev-harness, one after the other', ms.ours);
line('libvirt-python, one after the other', ms.python);
line(`sev-harness, ${CALLS} in flight together`, ms.oursTogether);
line('libvirt-python, 8 threads on one connection', ms.pythonThreads);
line('virsh dominfo, a process each', ms.virsh);

// The machine's speed changes under us: each round compares what it measured itself.
const rounds = (/** @type {(round: number) => number} */ ratio) =>
  median(Array.from({ length: ROUNDS }, (_, i) => ratio(i)));
const at = (/** @type {string} */ key, /** @type {number} */ round) => times[key]?.[round] ?? Number.NaN;
const one = rounds((i) => at('ours', i) / at('python', i));
const together = rounds((i) => at('oursTogether', i) / at('pythonThreads', i));
const togetherToOne = rounds((i) => at('oursTogether', i) / at('python', i));
const virshRatio = rounds((i) => at('virsh', i) / at('ours', i));
console.log(`one after the other: ${one.toFixed(2)} times libvirt-python (goal ${SEQUENTIAL_GOAL})`);
console.log(`in flight together: ${together.toFixed(2)} times libvirt-python's threads (goal ${IN_FLIGHT_GOAL})`);
console.log(`  and ${togetherToOne.toFixed(2)} times libvirt-python one after the other`);
console.log(`against a spawned virsh: ${virshRatio.toFixed(0)} times faster`);
process.exitCode = one <= SEQUENTIAL_GOAL && together <= IN_FLIGHT_GOAL ? 0 : 1;
