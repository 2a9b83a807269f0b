import { randomBytes } from 'node:crypto';
import { arch, platform, release, userInfo } from 'node:os';
import { toHex } from '../../core/bytes.ts';
import { systemClock } from '../../core/clock.ts';
import { errorText, isSevHarnessError } from '../../core/errors.ts';
import { openLiveReport } from '../../reports/live.ts';
import type { RunEvent } from '../../reports/model/events.ts';
import { type Run, type RunHeader, SCHEMA_VERSION } from '../../reports/model/run.ts';
import { openJsonStream, openTerminal } from '../../reports/terminal/stream.ts';
import { harnessError } from '../errors.ts';
import { reportedError, type UntimedEvent } from '../fixtures/recorder.ts';
import type { ScenarioSettings } from '../fixtures/settings.ts';
import { findKernel } from '../guest/image/kernel.ts';
import { createRunId, currentOwner, isOurName, type Owner } from '../guest/ownership.ts';
import { hostFactsOf } from '../host/describe.ts';
import { askForEs } from '../host/es-refusal.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { type HeldLease, leaseFileOf, takeLease } from '../host/leases/hold.ts';
import { type HostName, parseHostName } from '../host/name.ts';
import { NEEDS } from '../host/needs.ts';
import { preflightSummary } from '../host/preflight/index.ts';
import { formatChanges } from './destructive.ts';
import { assertKnownFaults } from './fault-names.ts';
import { catchInterrupts } from './interrupt.ts';
import { EXIT, explainUnexpected, formatColumns, printError, say } from './output.ts';
import { runScenarios } from './run-scenarios.ts';
import { loadScenarios, type ScenarioFile, selectScenarios } from './scenario-files.ts';
import { harnessVersion } from './version.ts';

export interface ScenarioOptions {
  readonly host: string;
  readonly report: string;
  readonly require: readonly string[];
  readonly maxGuests?: number;
  readonly fault: readonly string[];
  readonly retry: number;
  readonly timeout?: number;
  readonly wait: number;
  readonly kernel?: string;
  readonly images?: string;
  readonly allowDestructive?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
}

/** Runs scenarios and writes the report. Returns the exit code. */
export async function scenarioVerb(ids: readonly string[], options: ScenarioOptions): Promise<number> {
  const selected = selectScenarios(await loadScenarios(), ids);
  if (options.list) {
    listScenarios(selected, options.json === true);
    return 0;
  }
  const hostName = parseHostName(options.host);
  refuseBadOptions(hostName, options);
  // Also where the guests do not boot it: what was asked for is there, or nothing begins.
  if (options.kernel !== undefined) await findKernel(options.kernel);

  const startedAtMs = systemClock.nowMs();
  const owner = currentOwner(createRunId(startedAtMs, toHex(randomBytes(3))));
  // Before anything is made, because a signal that nobody catches ends the process where it stands.
  using interrupt = catchInterrupts({
    onFirst: () => {
      emitNow({ type: 'interrupted' });
      say('Interrupted: cleaning up what this run created. Ctrl-C again ends without waiting.');
    },
    onSecond: () => sayWhatIsLeft(hostName, owner.runId),
  });
  const report = openLiveReport(options.report);
  const terminal = openTerminal(process.stderr, process.env);
  const json = options.json ? openJsonStream(process.stdout) : undefined;
  const emit = (event: RunEvent) => {
    report.push(event);
    terminal.push(event);
    json?.push(event);
  };
  const emitNow = (event: UntimedEvent) => emit({ atMs: systemClock.nowMs() - startedAtMs, ...event } as RunEvent);

  emitNow({
    type: 'run-started',
    schemaVersion: SCHEMA_VERSION,
    run: runHeader(owner.runId, startedAtMs, options),
  });
  const settings: ScenarioSettings = {
    owner,
    host: options.host,
    faults: options.fault,
    required: options.require,
    maxGuests: options.maxGuests,
    startedAtMs,
    reportDir: report.path,
    timeoutMs: options.timeout === undefined ? undefined : options.timeout * 1000,
    image: { kernel: options.kernel, folder: options.images },
    allowDestructive: options.allowDestructive === true,
  };
  let lease: HeldLease | undefined;
  try {
    {
      // Once before any scenario, so that an unusable host is one clear error.
      await using host = await openHost(hostName, { signal: interrupt.signal });
      lease = await leaseHost(host, owner, options.wait, interrupt.signal, emitNow);
      await describeHost(host, emitNow);
      if (settings.allowDestructive) sayChanges(host.name, selected);
    }
    await runScenarios({
      files: selected.map((entry) => entry.file),
      settings,
      retries: options.retry,
      emit,
      signal: interrupt.signal,
    });
  } catch (error) {
    if (error !== interrupt.signal.reason) emitNow({ type: 'run-error', error: reportedError(error) });
    if (!isSevHarnessError(error) && !interrupt.signal.aborted) explainUnexpected(error);
  }
  await lease?.release().catch((error: unknown) => {
    emitNow({ type: 'left-behind', what: `could not release the host: ${errorText(error)}` });
  });
  const { exitCode } = report.snapshot();
  emitNow({ type: 'run-finished', exitCode });
  let unwritten: unknown;
  let run: Run;
  try {
    run = report.finish();
  } catch (error) {
    unwritten = error;
    run = report.snapshot();
    terminal.close();
    printError(error);
  }
  terminal.finish(run, unwritten === undefined ? report.path : undefined);
  if (run.leftBehind.length > 0 && hostName.kind !== 'emulated')
    say(`What is left on the host is removed with: ${reapCommand(hostName, owner.runId)}`);
  return unwritten !== undefined && run.exitCode === EXIT.ok ? EXIT.broken : run.exitCode;
}

/** Before anything is changed, so that who gave the flag for one scenario sees what the others do with it. */
function sayChanges(host: string, scenarios: readonly ScenarioFile[]): void {
  const changes = formatChanges(scenarios.map(({ definition }) => definition.id));
  if (changes !== '') say(`--allow-destructive lets this run change ${host}:\n${changes.trimEnd()}`);
}

function listScenarios(scenarios: readonly ScenarioFile[], asJson: boolean): void {
  const rows = scenarios.map(({ definition: { id, title, needs, maturity, checks } }) => ({
    id,
    title,
    needs,
    maturity,
    checks: Object.keys(checks),
  }));
  if (asJson) process.stdout.write(`${JSON.stringify(rows)}\n`);
  else {
    const table = rows.map((row) => [
      row.id,
      row.needs.length === 0 ? 'no needs' : `needs ${row.needs.join(', ')}`,
      row.title,
    ]);
    process.stdout.write(formatColumns(table));
  }
}

function refuseBadOptions(host: HostName, options: ScenarioOptions): void {
  const unknownNeed = options.require.find((need) => !(NEEDS as readonly string[]).includes(need));
  if (unknownNeed !== undefined)
    throw harnessError('CLI_USAGE', `--require: unknown need '${unknownNeed}'`, {
      hint: `Needs: ${NEEDS.join(', ')}.`,
    });
  assertKnownFaults(options.fault);
  if (options.fault.length > 0 && host.kind !== 'emulated')
    throw harnessError('CLI_USAGE', `--fault works on emulated hosts only, and ${host.text} is not one`, {
      hint: 'Use --host fake:<profile>.',
    });
}

function runHeader(runId: string, startedAtMs: number, options: ScenarioOptions): RunHeader {
  return {
    runId,
    startedAt: new Date(startedAtMs).toISOString(),
    command: ['sev-harness', ...process.argv.slice(2)],
    harnessVersion: harnessVersion(),
    nodeVersion: process.versions.node,
    platform: `${platform()} ${release()} ${arch()}`,
    host: options.host,
    faults: options.fault,
    required: options.require,
  };
}

/** Has the host for this run alone; emulated hosts need no lease. */
async function leaseHost(
  host: Host,
  owner: Owner,
  waitS: number,
  signal: AbortSignal,
  emit: (event: UntimedEvent) => void,
): Promise<HeldLease | undefined> {
  const file = await leaseFileOf(host);
  if (file === undefined) return undefined;
  return takeLease(file, host.name, {
    owner,
    user: userName(),
    waitMs: waitS * 1000,
    signal,
    onWait: (words) => say(`Waiting up to ${waitS} s: host ${host.name} is in use by ${words}.`),
    onLost: (words) => {
      const error = harnessError('HOST_LEASE_LOST', `host ${host.name} was taken over by ${words}`, {
        hint: 'Do not trust what this run counted after that. Run it again when the host is free.',
      });
      emit({ type: 'run-error', error: reportedError(error) });
    },
  });
}

/** A container may run a user who has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}

async function describeHost(host: Host, emit: (event: UntimedEvent) => void): Promise<void> {
  const [read, summary] = await Promise.all([readSevFacts(host), preflightSummary(host)]);
  const facts = await askForEs(host, read);
  emit({ type: 'host-described', host: hostFactsOf(host, facts, summary) });
  if (summary.verdict !== 'usable')
    for (const [name, words] of Object.entries(summary.facts))
      if (name !== 'kernel log') say(`          ${name}: ${words}`);
}

function reapCommand(name: HostName, runId: string): string {
  return `npm run reap -- --host '${name.text}' --run ${runId}`;
}

/** After a second Ctrl-C: names the guests that are still on the host and the command that removes them. */
async function sayWhatIsLeft(name: HostName, runId: string): Promise<void> {
  if (name.kind === 'emulated') {
    say(`Stopped. Nothing is left: the emulated host ended with this process.`);
    return;
  }
  const command = reapCommand(name, runId);
  try {
    await using host = await openHost(name, { signal: AbortSignal.timeout(3000) });
    const left = (await host.connection.listDomains()).filter((domain) => isOurName(domain.name, runId));
    if (left.length === 0)
      say(`Stopped. No guest of this run is left on ${name.text}. Remove its files and its lease with: ${command}`);
    else {
      const guests = left.map((domain) => domain.name).join(', ');
      say(`Stopped. Left on ${name.text}: ${guests}, with what they use. Remove all of it with: ${command}`);
    }
  } catch (error) {
    say(`Stopped. What is left on ${name.text} could not be listed (${errorText(error)}). Remove it with: ${command}`);
  }
}
