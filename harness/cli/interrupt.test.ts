import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EmulatedHost, startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect, type LibvirtConnection } from '../libvirt/index.ts';
import { keepingInterrupts } from './interrupt.ts';

const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');

let folder: string;
let host: EmulatedHost;
let connection: LibvirtConnection;

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-interrupt-'));
  // Rome has 509 slots, so that a run is still filling them when the signal comes.
  host = await startEmulatedHost({ profile: 'rome' });
  connection = await connect(host.uri);
});
afterEach(async () => {
  await connection.close();
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

const foreign = `<domain type='kvm'><name>customer</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`;

async function names(): Promise<string[]> {
  return (await connection.listDomains()).map((domain) => domain.name);
}

/** Starts slot-limit on the host of this test and resolves once guests of it run. */
async function runUntilFilling() {
  const report = path.join(folder, 'report');
  const words = [main, 'scenario', 'slot-limit', '--host', host.uri, '--report', report, '--json'];
  const run = execa(process.execPath, words, { reject: false, buffer: false, env: { NO_COLOR: '1' } });
  const printed: string[] = [];
  run.stderr.setEncoding('utf8').on('data', (text: string) => printed.push(text));
  for await (const line of createInterface({ input: run.stdout })) {
    const event = JSON.parse(line);
    if (event.type === 'step-started' && /^fill all/.test(event.title)) break;
  }
  run.stdout.resume();
  while ((await names()).filter((name) => name.startsWith('sevh-')).length < 5)
    await new Promise((r) => setTimeout(r, 5));
  return { run, report, printed };
}

describe('Ctrl-C', () => {
  it('once: cleans up, and writes the report as interrupted', async () => {
    await connection.createDomain(foreign);
    const { run, report } = await runUntilFilling();
    run.kill('SIGINT');
    const { exitCode } = await run;
    expect(exitCode).toBe(2);
    expect(await names()).toEqual(['customer']);
    const written = JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8'));
    expect(written).toMatchObject({ status: 'interrupted', leftBehind: [] });
    expect(written.scenarios[0]).toMatchObject({ id: 'slot-limit', status: 'interrupted' });
  });

  it('twice: ends at once, names what was left and the command that removes it', async () => {
    await connection.close();
    await host.close();
    // Guests that take their time to end, so that the second signal comes while some still run.
    host = await startEmulatedHost({ profile: 'rome', delays: 'realistic' });
    connection = await connect(host.uri);
    const { run, printed } = await runUntilFilling();
    run.kill('SIGINT');
    while (!printed.join('').includes('Interrupted:')) await new Promise((resolve) => setTimeout(resolve, 2));
    run.kill('SIGINT');
    const { exitCode } = await run;
    expect(exitCode).toBe(2);
    const text = printed.join('');
    const left = (await names()).filter((name) => name.startsWith('sevh-'));
    expect(left.length).toBeGreaterThan(0);
    for (const name of left) expect(text).toContain(name);
    expect(text).toMatch(/npm run reap -- --host '.*' --run \w+/);
  });
});

describe('a terminal that closes', () => {
  it('is Ctrl-C once, however often it says so, and nobody needs to read what is printed', async () => {
    await connection.createDomain(foreign);
    const { run, report } = await runUntilFilling();
    run.stderr.destroy();
    run.stdout.destroy();
    for (let times = 0; times < 3; times++) run.kill('SIGHUP');
    const { exitCode } = await run;
    expect(exitCode).toBe(2);
    expect(await names()).toEqual(['customer']);
    const written = JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8'));
    expect(written).toMatchObject({ status: 'interrupted', leftBehind: [] });
  });
});

describe('what nobody takes of a run that goes on', () => {
  const runWith = (redirection: string, ...words: string[]) => {
    const report = path.join(folder, 'report');
    const all = [main, 'scenario', 'slot-limit', '--max-guests', '3', '--host', host.uri, '--report', report, ...words];
    const script = `exec "$0" "$@" ${redirection}`;
    return { run: execa('sh', ['-c', script, process.execPath, ...all], { reject: false }), report };
  };
  const statusOf = (report: string) => JSON.parse(readFileSync(path.join(report, 'run.json'), 'utf8')).status;

  beforeEach(async () => {
    await connection.close();
    await host.close();
    host = await startEmulatedHost({ profile: 'naples' });
    connection = await connect(host.uri);
  });

  it('is nothing worse than lost, when it is progress', async () => {
    const { run, report } = runWith('');
    run.stderr.once('data', () => run.stderr.destroy());
    expect((await run).exitCode).toBe(0);
    expect(statusOf(report)).toBe('passed');
    expect((await runWith('2>/dev/full').run).exitCode).toBe(0);
    expect(await names()).toEqual([]);
  });

  it('is told once when it is results, and the run cleans up', async () => {
    const { run, report } = runWith('>/dev/full', '--json');
    const { exitCode, stderr } = await run;
    expect(stderr.match(/OUTPUT_UNWRITABLE/g)).toHaveLength(1);
    expect(exitCode).toBe(2);
    expect(statusOf(report)).toBe('passed');
    expect(await names()).toEqual([]);
  });
});

describe('SIGKILL, then reap', () => {
  it('leaves no domain of ours, and no other domain is touched', async () => {
    await connection.createDomain(foreign);
    const { run } = await runUntilFilling();
    run.kill('SIGKILL');
    await once(run, 'exit').catch(() => {});
    const left = (await names()).filter((name) => name.startsWith('sevh-'));
    expect(left.length).toBeGreaterThan(0);

    const reap = await execa(process.execPath, [main, 'reap', '--host', host.uri, '--json'], { reject: false });
    expect(reap.exitCode).toBe(0);
    const { rows } = JSON.parse(reap.stdout) as { rows: { name: string; action: string }[] };
    expect(rows.map((row) => row.name).sort()).toEqual([...left].sort());
    expect(new Set(rows.map((row) => row.action))).toEqual(new Set(['removed']));
    expect(await names()).toEqual(['customer']);
  });

  it('keeps the guests of a run that is alive', async () => {
    const { run } = await runUntilFilling();
    const before = (await names()).filter((name) => name.startsWith('sevh-')).length;
    const reap = await execa(process.execPath, [main, 'reap', '--host', host.uri], { reject: false });
    expect(reap.exitCode).toBe(0);
    expect(reap.stderr).toMatch(/its run is alive/);
    expect((await names()).filter((name) => name.startsWith('sevh-')).length).toBeGreaterThanOrEqual(before);
    run.kill('SIGINT');
    await run;
  });
});

it('a library that starts leaves no listener of a signal for the moment in which one could come', async () => {
  const count = () => [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
  const before = count();
  const started = await keepingInterrupts(async () => {
    process.once('SIGINT', () => {});
    process.on('SIGTERM', () => {});
    await new Promise((resolve) => setImmediate(resolve));
    return count();
  });
  expect(started).toEqual(before);
  const ours = () => {};
  process.on('SIGINT', ours);
  await new Promise((resolve) => setImmediate(resolve));
  expect(process.listenerCount('SIGINT')).toBe((before[0] ?? 0) + 1);
  process.off('SIGINT', ours);
});
