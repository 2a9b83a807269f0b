#!/usr/bin/env node
// Whole-process time of slot-limit on the emulated Naples host, and how filling grows from 15 to 509 to 1006 slots.
// Prints ratios: absolute times belong to the machine. Run `npm run build` first.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmulatedHost } from '../dist/harness/fakelibvirt/index.js';
import { connect } from '../dist/harness/libvirt/index.js';

const ROUNDS = 5;
const WHOLE_PROCESS_GOAL_MS = 2000;
const GROWTH_GOAL = 1.5;
const main = fileURLToPath(new URL('../dist/harness/cli/main.js', import.meta.url));

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** @param {string[]} words */
function processMs(words) {
  const started = performance.now();
  const result = spawnSync(process.execPath, words, { stdio: 'ignore' });
  if (result.status !== 0) throw new Error(`${words.join(' ')} ended with ${result.status}`);
  return performance.now() - started;
}

function wholeProcess() {
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-bench-'));
  try {
    const scenario = [];
    const empty = [];
    for (let round = 0; round < ROUNDS; round++) {
      scenario.push(processMs([main, 'scenario', 'slot-limit', '--report', path.join(folder, 'report')]));
      empty.push(processMs(['-e', '0']));
    }
    const [ms, emptyMs] = [median(scenario), median(empty)];
    console.log(
      `slot-limit, whole process: ${ms.toFixed(0)} ms, ${(ms / emptyMs).toFixed(1)} times an empty Node process`,
    );
    console.log(`  ${(ms / WHOLE_PROCESS_GOAL_MS).toFixed(2)} of the goal of ${WHOLE_PROCESS_GOAL_MS} ms`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {number} index */
const domainXml = (index) => `<domain type='kvm'><name>bench-${index}</name><memory unit='MiB'>256</memory>
  <memoryBacking><locked/></memoryBacking><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><memballoon model='none'/></devices>
  <launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity>
</domain>`;

/** Milliseconds to fill every slot, one start after the other, and to stop every guest. @param {number} slots */
async function fillMs(slots) {
  const host = await startEmulatedHost({ profile: 'rome', maxAsidOverride: slots });
  const connection = await connect(host.uri);
  try {
    const started = performance.now();
    const guests = [];
    for (let index = 0; index < slots; index++) guests.push(await connection.createDomain(domainXml(index)));
    for (const guest of guests) await guest.destroy();
    return performance.now() - started;
  } finally {
    await connection.close();
    await host.close();
  }
}

async function growth() {
  const sizes = [15, 509, 1006];
  /** @type {Map<number, number[]>} */
  const times = new Map(sizes.map((size) => [size, []]));
  await fillMs(15);
  for (let round = 0; round < ROUNDS; round++)
    for (const size of sizes) times.get(size)?.push((await fillMs(size)) / size);
  const base = median(times.get(15) ?? []);
  for (const size of sizes) {
    const ratio = median(times.get(size) ?? []) / base;
    const verdict = ratio <= GROWTH_GOAL ? 'within' : 'OVER';
    console.log(
      `${String(size).padStart(5)} slots: ${ratio.toFixed(2)} times the time of 15 slots, slot by slot (${verdict} the goal of ${GROWTH_GOAL})`,
    );
  }
}

wholeProcess();
await growth();
