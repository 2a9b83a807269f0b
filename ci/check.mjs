#!/usr/bin/env zx
// Format, lint, types, import boundaries, dead code, generated files. Runs all of them, then says which failed.
import { $, chalk } from 'zx';

$.verbose = false;
$.nothrow = true;

/** Below this many modules the boundary check looks at too little to mean anything. */
const MODULE_FLOOR = 400;

/** @type {[name: string, run: () => Promise<string | undefined>][]} each returns what is wrong, or undefined */
const checks = [
  ['format and lint', () => command($`npx biome ci --error-on-warnings .`)],
  ['types', () => command($`npx tsc --noEmit -p .`)],
  ['import boundaries', boundaries],
  ['dead code', () => command($`npx knip`)],
  ['generated protocol', () => command($`node ci/generate-protocol.mjs --check`)],
];

/** @param {Promise<import('zx').ProcessOutput>} running */
async function command(running) {
  const output = await running;
  return output.exitCode === 0 ? undefined : `${output.stdout}${output.stderr}`;
}

async function boundaries() {
  const rooms = ['core', 'attestation', 'harness', 'reports', 'scenarios'];
  const output = await $`npx depcruise ${rooms} --config .dependency-cruiser.cjs --output-type json`;
  let result;
  try {
    result = JSON.parse(output.stdout);
  } catch {
    return `dependency-cruiser gave no result: ${output.stderr}`;
  }
  const { violations, totalCruised } = result.summary;
  if (totalCruised < MODULE_FLOOR)
    return `only ${totalCruised} modules were looked at, expected at least ${MODULE_FLOOR}`;
  if (violations.length === 0) return undefined;
  return violations
    .map((/** @type {{ rule: { name: string }, from: string, to: string }} */ violation) => {
      return `${violation.rule.name}: ${violation.from} -> ${violation.to}`;
    })
    .join('\n');
}

let failed = 0;
for (const [name, run] of checks) {
  const started = Date.now();
  const wrong = await run();
  const seconds = ((Date.now() - started) / 1000).toFixed(1).padStart(5);
  console.log(`${wrong === undefined ? chalk.green('ok    ') : chalk.red('FAILED')} ${seconds} s  ${name}`);
  if (wrong !== undefined) {
    failed++;
    console.log(wrong.trim());
  }
}
process.exit(failed === 0 ? 0 : 1);
