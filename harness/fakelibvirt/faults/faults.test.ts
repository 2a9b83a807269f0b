import { describe, expect, test } from 'vitest';
import {
  emulatorProcedures,
  type NonnullDomain,
  remoteProcedures as remote,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { type EmulatedHost, type FaultId, faultCatalogue, type ProfileName, startEmulatedHost } from '../index.ts';
import { TestClient } from '../server/test-client.ts';
import { ES_POLICY, guestXml, SEV_POLICY } from '../server/test-guests.ts';

const LIMIT = 15;
const SHORT_SESSION = '<dhCert>AAAA</dhCert><session>AAAA</session>';

interface Bench extends AsyncDisposable {
  readonly host: EmulatedHost;
  readonly client: TestClient;
  start(policy?: string, security?: string): Promise<NonnullDomain>;
  /** How many guests start before the first refusal. */
  fill(policy?: string, most?: number): Promise<NonnullDomain[]>;
}

async function bench(faults: readonly FaultId[], profile: ProfileName = 'naples'): Promise<Bench> {
  const host = await startEmulatedHost({ profile, faults });
  const client = await TestClient.open(host.socketPath);
  let count = 0;
  const start = async (policy = SEV_POLICY, security = '') => {
    const xmlDesc = guestXml(`g${++count}`, { policy, security });
    return (await client.call(remote.domainCreateXml, { xmlDesc, flags: 0 })).dom;
  };
  return {
    host,
    client,
    start,
    async fill(policy, most = 40) {
      const started: NonnullDomain[] = [];
      for (let guest = 0; guest < most; guest++) {
        try {
          started.push(await start(policy));
        } catch {
          break;
        }
      }
      return started;
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await host.close();
    },
  };
}

async function listed({ client }: Bench): Promise<string[]> {
  const { domains } = await client.call(remote.connectListAllDomains, { needResults: 1, flags: 0 });
  return domains.map((dom) => dom.name);
}

async function readFile({ client }: Bench, path: string): Promise<string> {
  const { content } = await client.call(emulatorProcedures.readFile, { path, offset: 0n, length: 65536 });
  return Buffer.from(content).toString();
}

async function kill(at: Bench, dom: NonnullDomain): Promise<void> {
  const pid = Number(await readFile(at, `/run/libvirt/qemu/${dom.name}.pid`));
  await at.client.call(emulatorProcedures.kill, { pid, signal: 9 });
}

const EXHAUSTED =
  /^internal error: qemu unexpectedly closed the monitor: \S+Z qemu-system-x86_64: -accel kvm: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''\n\S+Z qemu-system-x86_64: -accel kvm: failed to initialize kvm: Operation not permitted$/;

describe('without a fault', () => {
  test('fifteen guests start, the sixteenth is refused in the words of the field and leaves nothing', async () => {
    await using at = await bench([]);
    expect(await at.fill(SEV_POLICY, LIMIT)).toHaveLength(LIMIT);
    const xmlDesc = guestXml('late', { policy: SEV_POLICY });
    const refused = await at.client.refusal(remote.domainCreateXml, { xmlDesc, flags: 0 });
    expect(refused).toMatchObject({ code: 1, domain: 10, message: expect.stringMatching(EXHAUSTED) });
    expect(await listed(at)).toHaveLength(LIMIT);
    expect(await readFile(at, '/sys/fs/cgroup/misc.current')).toBe('sev 15\n');
    expect(await readFile(at, '/var/log/libvirt/qemu/late.log')).toMatch(/failed to initialize ret=-16/);
  });

  test('a slot comes back after destroy, after SIGKILL, and after a launch that failed', async () => {
    await using at = await bench([]);
    const guests = await at.fill();
    await at.client.call(remote.domainDestroy, { dom: guests[0] as NonnullDomain });
    expect(await at.fill()).toHaveLength(1);
    await kill(at, guests[1] as NonnullDomain);
    await expect(at.start(SEV_POLICY, SHORT_SESSION)).rejects.toMatchObject({
      message: expect.stringMatching(
        /sev_launch_start: LAUNCH_START ret=1 fw_error=4 'Buffer too small'\n.*failed to create encryption context/,
      ),
    });
    expect(await at.fill()).toHaveLength(1);
  });

  test('concurrent starts of twice the limit: exactly the limit succeeds', async () => {
    await using at = await bench([]);
    const results = await Promise.allSettled(Array.from({ length: 2 * LIMIT }, () => at.start()));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(LIMIT);
    expect(at.host.counters()).toMatchObject({ running: LIMIT });
  });

  test('SEV-ES guests, SEV guests and plain guests do not take from each other', async () => {
    await using at = await bench([], 'naples-es');
    expect(await at.fill(ES_POLICY)).toHaveLength(4);
    expect(await at.fill(SEV_POLICY)).toHaveLength(11);
    const xmlDesc = guestXml('plain');
    expect(await at.client.call(remote.domainCreateXml, { xmlDesc, flags: 0 })).toMatchObject({
      dom: { name: 'plain' },
    });
  });
});

describe('with a fault', () => {
  test.each<[FaultId, (at: Bench, guest: NonnullDomain) => Promise<void>]>([
    ['slot-leak-on-destroy', async (at, dom) => void (await at.client.call(remote.domainDestroy, { dom }))],
    ['slot-leak-on-kill', kill],
  ])('%s: the slot of a guest that ended does not come back', async (fault, end) => {
    await using at = await bench([fault]);
    const [first] = await at.fill();
    await end(at, first as NonnullDomain);
    expect(await at.fill()).toHaveLength(0);
  });

  test('slot-leak-on-failed-launch: each failed launch costs a slot', async () => {
    await using at = await bench(['slot-leak-on-failed-launch']);
    await expect(at.start(SEV_POLICY, SHORT_SESSION)).rejects.toMatchObject({ code: 1 });
    expect(await at.fill()).toHaveLength(LIMIT - 1);
  });

  test('df-flush-forgotten: each ASID can be used once', async () => {
    await using at = await bench(['df-flush-forgotten']);
    for (let launch = 0; launch < LIMIT; launch++)
      await at.client.call(remote.domainDestroy, { dom: await at.start() });
    expect(await at.fill()).toHaveLength(0);
  });

  test.each<[FaultId, number]>([
    ['limit-off-by-one-up', LIMIT + 1],
    ['limit-off-by-one-down', LIMIT - 1],
  ])('%s: %i guests start', async (fault, expected) => {
    await using at = await bench([fault]);
    expect(await at.fill()).toHaveLength(expected);
  });

  test('es-range-shared: SEV-ES guests take the slots of SEV guests', async () => {
    await using at = await bench(['es-range-shared'], 'naples-es');
    expect(await at.fill(ES_POLICY)).toHaveLength(4);
    expect(await at.fill(SEV_POLICY)).toHaveLength(7);
  });

  test('advertised-limit-wrong: domain capabilities and node information disagree with CPUID and misc.capacity', async () => {
    await using at = await bench(['advertised-limit-wrong']);
    const query = { emulatorbin: null, arch: null, machine: 'q35', virttype: 'kvm', flags: 0 };
    const { capabilities } = await at.client.call(remote.connectGetDomainCapabilities, query);
    expect(capabilities).toContain('<maxGuests>16</maxGuests>');
    const { params } = await at.client.call(remote.nodeGetSevInfo, { nparams: 0, flags: 0 });
    expect(params).toContainEqual({ field: 'max-guests', type: 'uint', value: 16 });
    expect(await readFile(at, '/sys/fs/cgroup/misc.capacity')).toBe('sev 15\n');
  });

  test('refusal-with-success: the start is answered, and no guest runs', async () => {
    await using at = await bench(['refusal-with-success']);
    const guests = await at.fill(SEV_POLICY, LIMIT + 1);
    expect(guests).toHaveLength(LIMIT + 1);
    expect(guests.at(-1)?.id).toBe(-1);
    expect(at.host.counters()).toMatchObject({ running: LIMIT });
  });

  test('refused-guest-stays-defined: a transient guest stays in the list, a persistent one looks paused', async () => {
    await using at = await bench(['refused-guest-stays-defined']);
    await at.fill(SEV_POLICY, LIMIT);
    await expect(at.start()).rejects.toMatchObject({ code: 1 });
    expect(await listed(at)).toHaveLength(LIMIT + 1);
    const { dom } = await at.client.call(remote.domainDefineXml, { xml: guestXml('half', { policy: SEV_POLICY }) });
    await expect(at.client.call(remote.domainCreate, { dom })).rejects.toMatchObject({ code: 1 });
    expect(await at.client.call(remote.domainGetState, { dom, flags: 0 })).toMatchObject({ state: 3 });
  });

  test('running-guest-dies-at-limit: the refused start costs the oldest guest its life', async () => {
    await using at = await bench(['running-guest-dies-at-limit']);
    const [first] = await at.fill(SEV_POLICY, LIMIT);
    await expect(at.start()).rejects.toMatchObject({ code: 1 });
    expect(await listed(at)).not.toContain(first?.name);
    expect(at.host.counters()).toMatchObject({ running: LIMIT - 1 });
  });

  test('stop-event-lost: a destroyed guest sends Shutdown and no Stopped', async () => {
    await using at = await bench(['stop-event-lost']);
    const dom = await at.start();
    await at.client.takeLifecycle();
    await at.client.call(remote.domainDestroy, { dom });
    expect(await at.client.takeLifecycle()).toEqual([`g1 6/2 ${dom.id}`]);
  });

  test('connection-drops-in-mid-fill: the eighth start gets no answer, a new connection goes on', async () => {
    await using at = await bench(['connection-drops-in-mid-fill']);
    expect(await at.fill()).toHaveLength(7);
    await at.client.closed;
    await using again = await TestClient.open(at.host.socketPath);
    const xmlDesc = guestXml('again', { policy: SEV_POLICY });
    expect(await again.call(remote.domainCreateXml, { xmlDesc, flags: 0 })).toMatchObject({ dom: { name: 'again' } });
  });

  test("refusal-text-lost: the refusal no longer carries QEMU's words", async () => {
    await using at = await bench(['refusal-text-lost']);
    await at.fill(SEV_POLICY, LIMIT);
    await expect(at.start()).rejects.toMatchObject({ code: 1, message: expect.not.stringMatching(/sev_kvm_init/) });
  });

  test('refused-guest-runs: the start is refused, and the guest is listed as running', async () => {
    await using at = await bench(['refused-guest-runs']);
    await at.fill(SEV_POLICY, LIMIT);
    await expect(at.start()).rejects.toMatchObject({ code: 1 });
    expect(at.host.counters()).toMatchObject({ running: LIMIT + 1 });
  });

  test('plain-guest-takes-slot: a guest without encryption leaves one slot less', async () => {
    await using at = await bench(['plain-guest-takes-slot']);
    await at.client.call(remote.domainCreateXml, { xmlDesc: guestXml('plain'), flags: 0 });
    expect(await at.fill()).toHaveLength(LIMIT - 1);
  });

  test.each<[FaultId, number]>([
    ['es-limit-off-by-one-up', 5],
    ['es-limit-off-by-one-down', 3],
  ])('%s: %i SEV-ES guests start', async (fault, expected) => {
    await using at = await bench([fault], 'naples-es');
    expect(await at.fill(ES_POLICY)).toHaveLength(expected);
  });

  test('every fault of slots has a test here', async () => {
    const { readFileSync } = await import('node:fs');
    const source = readFileSync(import.meta.filename, 'utf8');
    const own = faultCatalogue.filter(({ expected }) => expected.every(({ scenario }) => scenario.startsWith('slot-')));
    expect(own.length).toBeGreaterThan(10);
    for (const { id } of own) expect(source).toMatch(new RegExp(`['"\`]${id}['":\`]`));
  });
});
