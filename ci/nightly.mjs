#!/usr/bin/env zx
// One nightly run against a real host: clean up after crashes, run everything, compare with the last good run.
// Usage: zx ci/nightly.mjs --host URI [--require sev,…] [--report DIR] [--baseline run.json]
import { $, argv, chalk } from 'zx';

$.verbose = true;
$.nothrow = true;

const host = argv.host ?? process.env.SEV_HARNESS_HOST;
if (typeof host !== 'string' || host === '' || host.startsWith('fake:')) {
  const given = typeof host === 'string' ? `, not '${host}'` : '';
  console.error(`error: nightly needs a real host${given}: give --host URI, for example qemu:///system`);
  process.exit(3);
}
const report = argv.report ?? 'sev-report';
const main = 'dist/harness/cli/main.js';

// Also where reap fails the scenarios run: their report is what people and CI read, and it says what is wrong with the host.
const reaped = await $`node ${main} reap --host ${host}`;
const run = await $`node ${main} scenario --host ${host} --require ${argv.require ?? 'sev'} --report ${report}`;
if (process.env.GITHUB_STEP_SUMMARY)
  await $`node ${main} report render ${report}/run.json --format github >> ${process.env.GITHUB_STEP_SUMMARY}`;
let compared = 0;
if (argv.baseline !== undefined) {
  compared = (await $`node ${main} report diff ${argv.baseline} ${report}/run.json`).exitCode ?? 2;
  if (compared === 1) console.error(chalk.red('Something that held in the baseline does not hold now.'));
  if (compared === 2) console.error(chalk.yellow('Not all of the baseline could be judged again.'));
}
process.exit((run.exitCode ?? 2) || (reaped.exitCode ?? 2) || compared);
