import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toBase64 } from '../../../core/bytes.ts';
import {
  emulatorProcedures as emulator,
  type NonnullDomain,
  qemuProcedures as qemu,
  remoteProcedures as remote,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { launchMeasurement } from '../firmware/channel.ts';
import { createOwner, type Owner, sealSecret } from '../firmware/test-kit.ts';
import { type FaultId, startEmulatedHost } from '../index.ts';
import { builtinFile } from '../qemu/builtin-firmware.ts';
import { kernelHashTable } from '../qemu/kernel-hashes.ts';
import { TestClient } from '../server/test-client.ts';
import { ES_POLICY, guestXml, SEV_POLICY } from '../server/test-guests.ts';
import { ImageFiles } from '../state/images.ts';
import { LAUNCH_FAULTS } from './launch-faults.ts';

const AMD_SEV = '/lab/OVMF.amdsev.fd';
const USUAL = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const POLICY = 3;
const PLAIN = Buffer.alloc(32, 'sixteen letters.');

interface Bench extends AsyncDisposable {
  readonly client: TestClient;
  readonly owner: Owner;
  start(flags?: number, policy?: string): Promise<NonnullDomain>;
  measurement(dom: NonnullDomain): Promise<string>;
  inject(dom: NonnullDomain, secretBytes?: number): Promise<unknown>;
  /** Starts a guest with a session, paused, from edited XML. */
  startXml(edit: (xml: string) => string): Promise<NonnullDomain>;
  /** Whether exactly this guest firmware, and what was loaded behind it, was measured. */
  isMeasured(dom: NonnullDomain, firmware: string | undefined, more?: Uint8Array, tik?: Uint8Array): Promise<boolean>;
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
    async startXml(edit) {
      const xmlDesc = edit(guestXml(`g${++count}`, { policy: SEV_POLICY, security: session }));
      return (await client.call(remote.domainCreateXml, { xmlDesc, flags: 1 })).dom;
    },
    async isMeasured(dom, firmware, more = new Uint8Array(), tik = owner.keys.tik) {
      const blob = Buffer.from(await measurement(dom), 'base64');
      const digest = createHash('sha256');
      if (firmware !== undefined) digest.update(new ImageFiles().firmware(firmware));
      const launchDigest = digest.update(more).digest();
      const version = { apiMajor: 0, apiMinor: 17, build: 48 };
      const inputs = { ...version, policy: POLICY, launchDigest, nonce: blob.subarray(32) };
      return Buffer.from(launchMeasurement(tik, inputs)).equals(blob.subarray(0, 32));
    },
    async inject(dom, secretBytes = PLAIN.length) {
      const { header, data } = sealSecret(
        owner.keys,
        PLAIN,
        Buffer.from(await measurement(dom), 'base64').subarray(0, 32),
      );
      return client.call(remote.domainSetLaunchSecurityState, {
        dom,
        params: [
          { field: 'sev-secret-header', type: 'string', value: toBase64(header) },
          { field: 'sev-secret', type: 'string', value: toBase64(data.subarray(0, secretBytes)) },
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

  test('kernel-hashes-ignored and loader-ignored: the launch is the one of the usual guest firmware alone', async () => {
    for (const fault of ['kernel-hashes-ignored', 'loader-ignored'] as const) {
      await using at = await bench(fault);
      const boot = '<kernel>/boot/vmlinuz</kernel><cmdline>quiet</cmdline>';
      const named = fault === 'loader-ignored' ? '/lab/other.fd' : AMD_SEV;
      const measured = fault === 'loader-ignored' ? USUAL : AMD_SEV;
      const dom = await at.startXml((xml) =>
        xml
          .replace('</os>', `<loader readonly='yes' type='pflash' stateless='yes'>${named}</loader>${boot}</os>`)
          .replace("type='sev'>", `type='sev' kernelHashes='${fault === 'kernel-hashes-ignored' ? 'yes' : 'no'}'>`),
      );
      expect(await at.isMeasured(dom, measured)).toBe(true);
    }
  });

  test('first-kernel-measured: the second guest has the hashes of the first', async () => {
    await using at = await bench('first-kernel-measured');
    const start = (kernel: string) =>
      at.startXml((xml) =>
        xml
          .replace(
            '</os>',
            `<loader readonly='yes' type='pflash' stateless='yes'>${AMD_SEV}</loader><kernel>${kernel}</kernel></os>`,
          )
          .replace("type='sev'>", "type='sev' kernelHashes='yes'>"),
      );
    const table = (kernel: string) =>
      kernelHashTable({ kernel: builtinFile(kernel), initrd: new Uint8Array(), cmdline: Uint8Array.of(0) });
    await start('/lab/first');
    expect(await at.isMeasured(await start('/lab/second'), AMD_SEV, table('/lab/first'))).toBe(true);
  });

  test('short-material-dropped: a session that is too short starts a guest without keys', async () => {
    await using at = await bench('short-material-dropped');
    const short = toBase64(at.owner.session(POLICY).subarray(1));
    const dom = await at.startXml((xml) => xml.replace(/<session>[^<]*/, `<session>${short}`));
    expect(await at.isMeasured(dom, undefined, new Uint8Array(), new Uint8Array(16))).toBe(true);
  });

  test('measurement-of-stopped-domain: a domain that was never started has one', async () => {
    await using at = await bench('measurement-of-stopped-domain');
    const xml = guestXml('never', { policy: SEV_POLICY });
    const { dom } = await at.client.call(remote.domainDefineXml, { xml });
    expect(await at.measurement(dom)).toHaveLength(64);
  });

  test('sev-state-stale: a guest that has run still waits for its secret', async () => {
    await using at = await bench('sev-state-stale');
    const dom = await at.start(0);
    const { result } = await at.client.call(qemu.domainMonitorCommand, {
      dom,
      cmd: '{"execute":"query-sev"}',
      flags: 0,
    });
    expect(JSON.parse(result).return.state).toBe('launch-secret');
  });

  test('second-secret-refused: the packet that was taken once is refused', async () => {
    await using at = await bench('second-secret-refused');
    const dom = await at.start();
    await at.inject(dom);
    await expect(at.inject(dom)).rejects.toMatchObject({ message: expect.stringMatching(/fw_error=2 /) });
  });

  test('short-secret-dropped: half a block is answered with success', async () => {
    await using at = await bench('short-secret-dropped');
    const dom = await at.start();
    await expect(at.inject(dom, 8)).resolves.toEqual({});
  });

  test('swap-ignored: the guest boots what was measured', async () => {
    await using at = await bench('swap-ignored');
    const dom = await at.start();
    const pidFile = { path: `/run/libvirt/qemu/${dom.name}.pid`, offset: 0n, length: 99 };
    const pid = Number(Buffer.from((await at.client.call(emulator.readFile, pidFile)).content).toString());
    // A guest without a kernel has nothing to swap, and only this fault says that it was done.
    const swap = { pid, blob: 'kernel', content: new Uint8Array(1) };
    expect(await at.client.call(emulator.swapBlob, swap)).toEqual({ errno: 0 });
  });

  test.each([
    ['cek-signature-wrong', 'cek.cert'],
    ['ark-signature-wrong', 'ask_ark.cert'],
  ] as const)('%s: one bit of a signature in %s is another', async (fault, name) => {
    const { emulatedCa } = await import('../firmware/ca.ts');
    await using at = await bench(fault);
    const query = { path: `/var/lib/emulated-sev/${name}`, offset: 0n, length: 4096 };
    const { content } = await at.client.call(emulator.readFile, query);
    const ca = emulatedCa('naples');
    expect(name === 'cek.cert' ? ca.hasSignedCek(content) : ca.isOwnChain(content)).toBe(false);
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
