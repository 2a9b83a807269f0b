import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toBase64 } from '../../../core/bytes.ts';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { createOwner, type Owner, sealSecret } from '../firmware/test-kit.ts';
import { type FaultId, startEmulatedHost } from '../index.ts';
import { TestClient } from '../server/test-client.ts';
import { ES_POLICY, guestXml, SEV_POLICY } from '../server/test-guests.ts';
import { LAUNCH_FAULTS } from './launch-faults.ts';

const POLICY = 3;
const PLAIN = Buffer.alloc(32, 'sixteen letters.');

interface Bench extends AsyncDisposable {
  readonly client: TestClient;
  readonly owner: Owner;
  start(flags?: number, policy?: string): Promise<NonnullDomain>;
  measurement(dom: NonnullDomain): Promise<string>;
  inject(dom: NonnullDomain): Promise<unknown>;
}

async function bench(fault: FaultId): Promise<Bench> {
  const host = await startEmulatedHost({ profile: 'naples-es', faults: [fault] });
  const client = await TestClient.open(host.socketPath);
  const info = await client.call(remote.nodeGetSevInfo, { nparams: 0, flags: 0 });
  const owner = createOwner(Buffer.from(String(info.params[0]?.value), 'base64'));
  const session = `<dhCert>${toBase64(owner.dhCert)}</dhCert><session>${toBase64(owner.session(POLICY))}</session>`;
  let count = 0;
  const measurement = async (dom: NonnullDomain) => {
    const { params } = await client.call(remote.domainGetLaunchSecurityInfo, { dom, flags: 4 });
    return String(params[0]?.value);
  };
  return {
    client,
    owner,
    measurement,
    async start(flags = 1, policy = SEV_POLICY) {
      const security = policy === SEV_POLICY ? session : '';
      const xmlDesc = guestXml(`g${++count}`, { policy, security });
      return (await client.call(remote.domainCreateXml, { xmlDesc, flags })).dom;
    },
    async inject(dom) {
      const { header, data } = sealSecret(
        owner.keys,
        PLAIN,
        Buffer.from(await measurement(dom), 'base64').subarray(0, 32),
      );
      return client.call(remote.domainSetLaunchSecurityState, {
        dom,
        params: [
          { field: 'sev-secret-header', type: 'string', value: toBase64(header) },
          { field: 'sev-secret', type: 'string', value: toBase64(data) },
          { field: 'sev-secret-set-address', type: 'ullong', value: 0x10000n },
        ],
        flags: 0,
      });
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await host.close();
    },
  };
}

describe('with a fault', () => {
  test('sessions-refused: a session that is right is refused', async () => {
    await using at = await bench('sessions-refused');
    await expect(at.start()).rejects.toMatchObject({ message: expect.stringMatching(/fw_error=11 'Bad measurement'/) });
  });

  test('measurement-changes-when-run: the measurement is another one after the guest has run', async () => {
    await using at = await bench('measurement-changes-when-run');
    const dom = await at.start();
    const before = await at.measurement(dom);
    expect(await at.measurement(dom)).toBe(before);
    await at.client.call(remote.domainResume, { dom });
    expect(await at.measurement(dom)).not.toBe(before);
  });

  test('secret-while-running: a running guest takes a secret', async () => {
    await using at = await bench('secret-while-running');
    const dom = await at.start(0);
    await expect(at.inject(dom)).resolves.toEqual({});
  });

  test('secret-misplaced: the block that was asked for stays as it was, and the one behind it changes', async () => {
    await using at = await bench('secret-misplaced');
    const dom = await at.start();
    await at.inject(dom);
    const { buffer } = await at.client.call(remote.domainMemoryPeek, { dom, offset: 0x10000n, size: 32, flags: 2 });
    expect(Buffer.from(buffer.subarray(0, 16))).toEqual(Buffer.alloc(16));
    expect(Buffer.from(buffer.subarray(16))).not.toEqual(Buffer.alloc(16));
  });

  test('save-allowed: an encrypted guest is saved and stops', async () => {
    await using at = await bench('save-allowed');
    const dom = await at.start(0);
    await expect(at.client.call(remote.domainSave, { dom, to: '/tmp/saved' })).resolves.toEqual({});
  });

  test('migration-allowed: the refusal no longer names SEV', async () => {
    await using at = await bench('migration-allowed');
    const begin = { dom: await at.start(0), params: [], flags: 1 };
    const { message } = await at.client.refusal(remote.domainMigrateBegin3Params, begin);
    expect(message).toMatch(/same host/);
  });

  test('refusal-kills-guest: the guest whose save is refused is gone', async () => {
    await using at = await bench('refusal-kills-guest');
    const dom = await at.start(0);
    expect(await at.client.refusal(remote.domainSave, { dom, to: '/tmp/saved' })).toMatchObject({ code: 55 });
    expect(await at.client.refusal(remote.domainGetState, { dom, flags: 0 })).toMatchObject({ code: 42 });
  });

  test('memory-reads-zero: the flash of a plain guest reads as zeros', async () => {
    await using at = await bench('memory-reads-zero');
    const loader = "<loader readonly='yes' type='pflash' stateless='yes'>/var/lib/emulated/OVMF.fd</loader></os>";
    const xmlDesc = guestXml('plain').replace('</os>', loader);
    const { dom } = await at.client.call(remote.domainCreateXml, { xmlDesc, flags: 0 });
    const last = { dom, offset: 0xffff_f000n, size: 4096, flags: 2 };
    expect(Buffer.from((await at.client.call(remote.domainMemoryPeek, last)).buffer).equals(Buffer.alloc(4096))).toBe(
      true,
    );
  });

  test('es-reset-allowed: an SEV-ES guest runs on after a reset', async () => {
    await using at = await bench('es-reset-allowed');
    const dom = await at.start(0, ES_POLICY);
    await at.client.call(remote.domainReset, { dom, flags: 0 });
    expect(await at.client.call(remote.domainGetState, { dom, flags: 0 })).toMatchObject({ state: 1 });
  });

  test('every fault of launches has a test here, or in the room of the hardware that it breaks', () => {
    const tests = [
      './launch-faults.test.ts',
      '../firmware/faults.test.ts',
      '../memory/controller.test.ts',
      '../memory/guest-ram.test.ts',
      '../server/direct-boot.test.ts',
    ].map((file) => readFileSync(new URL(file, import.meta.url), 'utf8'));
    const isTested = (id: string) => tests.some((source) => new RegExp(`['"\`]${id}['":\`]`).test(source));
    expect(Object.keys(LAUNCH_FAULTS).filter((id) => !isTested(id))).toEqual([]);
  });
});
