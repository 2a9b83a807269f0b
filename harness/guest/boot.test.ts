import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { lintDomain } from '../conformance/lint.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { type AgentRequest, agentCommandLine, agentLaunch } from './boot.ts';
import { GuestConsole } from './console/follow.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';
import type { GuestKind } from './spec.ts';

describe('the kernel command line', () => {
  it('asks for nothing when nothing is asked', () => {
    expect(agentCommandLine({})).toBe('console=ttyS0 panic=-1');
  });

  it('has a word for each request', () => {
    const request = {
      canaryHex: '00ff',
      canaryKiB: 64,
      secretAddress: 0x80d000,
      equalPages: { pages: 16, seed: 'abc' },
      workloads: ['memory-bandwidth', 'disk-read'],
      rounds: 3,
      powersOff: true,
    } as const satisfies Required<AgentRequest>;
    expect(agentCommandLine(request)).toBe(
      'console=ttyS0 panic=-1 sevh.canary=00ff sevh.canary-kib=64 sevh.secret=0x80d000 sevh.equal-pages=16,abc sevh.workload=memory-bandwidth,disk-read sevh.rounds=3 sevh.power-off=idle',
    );
  });
});

describe('a guest of an emulated host', () => {
  const PATIENCE = { timeoutMs: 20_000 };
  const cleanup = new CleanupStack();
  let host: Host;
  let facts: SevFacts;
  let launcher: GuestLauncher;

  beforeAll(async () => {
    host = await openHost({ kind: 'emulated', text: 'fake:naples-es', profile: 'naples-es' });
    facts = await readSevFacts(host);
    const settings = { owner: currentOwner(createRunId(1, 'b007')) };
    const { signal } = new AbortController();
    launcher = new GuestLauncher({ host, facts, settings, cleanup, signal, nowMs: () => 0 });
  });
  afterAll(async () => {
    expect(await cleanup.run()).toEqual([]);
    await host.close();
  });

  async function boot(kind: GuestKind, request: AgentRequest) {
    const launch = await agentLaunch({ host, settings: {} }, request);
    const guest = await launcher.launchOrFail(kind, kind, { ...launch, isPaused: true });
    const console = await GuestConsole.follow(guest);
    return { guest, console };
  }

  it('prints nothing while it is paused, and all when it runs', async () => {
    const { guest, console } = await boot('sev', { canaryHex: '00ff' });
    await host.connection.hostname();
    expect(console.events).toEqual([]);
    await guest.domain.resume();
    await console.waitFor('idle', PATIENCE);
    expect(console.events.map(({ event }) => event)).toEqual([
      'ready',
      'cpu',
      'encryption',
      'secrets',
      'canary-pages',
      'canary-pages',
      'canary',
      'idle',
    ]);
  });

  it.each([
    ['plain', '0x0', null],
    ['sev', '0x1', 'Memory Encryption Features active: AMD SEV'],
    ['sev-es', '0x3', 'Memory Encryption Features active: AMD SEV SEV-ES'],
  ] as const)('of kind %s says what protects it', async (kind, sevStatus, line) => {
    const { guest, console } = await boot(kind, {});
    await guest.domain.resume();
    await console.waitFor('idle', PATIENCE);
    expect(console.all('cpu')).toEqual([expect.objectContaining({ sevStatus })]);
    expect(console.all('encryption')).toEqual([{ event: 'encryption', line }]);
  });

  it('has the same pages as another with the same seed, to itself and not to the host', async () => {
    const read = async (kind: GuestKind, seed: string) => {
      const { guest, console } = await boot(kind, { equalPages: { pages: 2, seed } });
      await guest.domain.resume();
      expect(await console.waitFor('equal-pages', PATIENCE)).toEqual({ event: 'equal-pages', pages: 2, seed });
      return Buffer.from(await guest.domain.memoryPeek(0x00a1_0000, 2 * 4096)).toString('hex');
    };
    const [first, second, otherSeed, sev] = [
      await read('plain', 'a'),
      await read('plain', 'a'),
      await read('plain', 'b'),
      await read('sev', 'a'),
    ];
    expect(second).toBe(first);
    expect(otherSeed).not.toBe(first);
    expect(sev).not.toBe(first);
    expect(first.slice(0, 8192)).not.toBe(first.slice(8192));
  });

  it('answers the requests that are typed, with modelled numbers', async () => {
    const { guest, console } = await boot('sev', { workloads: ['memory-latency'], rounds: 2 });
    await guest.domain.resume();
    expect((await console.waitFor('workload', PATIENCE)).samples).toHaveLength(2);
    const answers = ['workload', 'workload-failed'] as const;
    expect(await console.ask('workload disk-read 3', answers, PATIENCE)).toMatchObject({
      name: 'disk-read',
      unit: 'MiB/s',
    });
    expect(await console.ask('workload chess', answers, PATIENCE)).toEqual({
      event: 'workload-failed',
      name: 'chess',
      because: 'no such workload',
    });
  });

  it.each(['sev', 'sev-es'] as const)('of kind %s with all devices breaks no rule', (kind) => {
    const launch = { boot: { kernel: '/k', initrd: '/i', cmdline: '' }, virtio: { hasConsole: true, disk: '/d' } };
    const { xml } = launcher.define(kind, 'lint', launch);
    const profile = kind === 'sev' ? 'train' : 'modern';
    const { findings } = lintDomain(xml, {
      profile,
      ...(facts.domainCapabilities && { host: facts.domainCapabilities }),
    });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});
