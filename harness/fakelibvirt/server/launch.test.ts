import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64 } from '../../../core/bytes.ts';
import {
  emulatorProcedures,
  type NonnullDomain,
  qemuProcedures,
  remoteProcedures as remote,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { createOwner, type Owner, sealSecret } from '../firmware/test-kit.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { builtinFirmware } from '../qemu/builtin-firmware.ts';
import { TestClient } from './test-client.ts';
import { ES_POLICY, guestXml, SEV_POLICY } from './test-guests.ts';

/** Paths that no machine has, so that the images are the built-in ones. */
const FIRMWARE = '/var/lib/emulated/OVMF.amdsev.fd';
const PLAIN_FIRMWARE = '/var/lib/emulated/OVMF.fd';
const SECRET_AT = 0x0080_d000;
const FLASH_AT = 2 ** 32 - builtinFirmware().length;
const TOKEN = 'c0ffee00c0ffee00c0ffee00c0ffee01';

let host: EmulatedHost;
let client: TestClient;
let owner: Owner;
let images: string;
let count = 0;

beforeAll(async () => {
  images = mkdtempSync(path.join(tmpdir(), 'sevh-images-'));
  host = await startEmulatedHost({ profile: 'milan', imagesFolder: images });
  client = await TestClient.open(host.socketPath);
  const { params } = await client.call(remote.nodeGetSevInfo, { nparams: 0, flags: 0 });
  owner = createOwner(Buffer.from(String(params.find(({ field }) => field === 'pdh')?.value), 'base64'));
});
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await host?.close();
  rmSync(images, { recursive: true, force: true });
});

interface Shape {
  readonly policy?: number;
  readonly sessionPolicy?: number;
  readonly firmware?: string;
  readonly kernel?: { readonly cmdline: string; readonly hashes?: boolean };
  readonly vcpus?: number;
}

function xml({ policy, sessionPolicy, firmware = FIRMWARE, kernel, vcpus = 1 }: Shape): string {
  const hex = (value: number) => `0x${value.toString(16).padStart(4, '0')}`;
  const session = (value: number) =>
    `<dhCert>${toBase64(owner.dhCert)}</dhCert><session>${toBase64(owner.session(sessionPolicy ?? value))}</session>`;
  const plain = guestXml(`launch-${++count}`, {
    devices: "<serial type='pty'/>",
    ...(policy === undefined ? {} : { policy: hex(policy), security: session(policy) }),
  });
  const boot = kernel
    ? `<kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>${kernel.cmdline}</cmdline>`
    : '';
  const loader = `<loader readonly='yes' type='pflash' stateless='yes'>${firmware}</loader>`;
  const isHashed = kernel !== undefined && kernel.hashes !== false;
  return plain
    .replace('</os>', `${loader}${boot}</os>`)
    .replace('<vcpu>1</vcpu>', `<vcpu>${vcpus}</vcpu>`)
    .replace("<launchSecurity type='sev'>", `<launchSecurity type='sev' kernelHashes='${isHashed ? 'yes' : 'no'}'>`);
}

const launch = async (shape: Shape, flags = 1): Promise<NonnullDomain> =>
  (await client.call(remote.domainCreateXml, { xmlDesc: xml(shape), flags })).dom;

async function measured(dom: NonnullDomain): Promise<Buffer> {
  const { params } = await client.call(remote.domainGetLaunchSecurityInfo, { dom, flags: 4 });
  return Buffer.from(String(params.find(({ field }) => field === 'sev-measurement')?.value), 'base64');
}

async function inject(dom: NonnullDomain, packet: { header: Uint8Array; data: Uint8Array }, at?: number) {
  await client.call(remote.domainSetLaunchSecurityState, {
    dom,
    params: [
      { field: 'sev-secret-header', type: 'string', value: toBase64(packet.header) },
      { field: 'sev-secret', type: 'string', value: toBase64(packet.data) },
      ...(at === undefined ? [] : [{ field: 'sev-secret-set-address', type: 'ullong', value: BigInt(at) } as const]),
    ],
    flags: 0,
  });
}

const peek = async (dom: NonnullDomain, offset: number, size: number) =>
  Buffer.from((await client.call(remote.domainMemoryPeek, { dom, offset: BigInt(offset), size, flags: 2 })).buffer);

async function monitor(dom: NonnullDomain, cmd: string, flags = 0): Promise<string> {
  return (await client.call(qemuProcedures.domainMonitorCommand, { dom, cmd, flags })).result;
}

const readFile = (file: string, length = 4096) =>
  client.call(emulatorProcedures.readFile, { path: file, offset: 0n, length });

describe('a launch with a session', () => {
  test('is refused in the words of the firmware when the session is for another policy', async () => {
    await expect(launch({ policy: 1, sessionPolicy: 3 })).rejects.toMatchObject({
      message: expect.stringMatching(/LAUNCH_START ret=1 fw_error=11 'Bad measurement'/),
    });
  });

  test('has one measurement from its start to its end, and another guest has another', async () => {
    const [one, two] = [await launch({ policy: 1 }), await launch({ policy: 1 })];
    const blob = await measured(one);
    expect(blob).toHaveLength(48);
    await client.call(remote.domainResume, { dom: one });
    expect(await measured(one)).toEqual(blob);
    expect(await measured(two)).not.toEqual(blob);
    expect(JSON.parse(await monitor(one, '{"execute":"query-sev-launch-measure"}')).return).toEqual({
      data: toBase64(blob),
    });
  });

  test('measures what the files held when the guest started', async () => {
    const firmware = Buffer.from(builtinFirmware());
    writeFileSync(path.join(images, 'mine.fd'), firmware);
    const dom = await launch({ policy: 1, firmware: '/lab/mine.fd' });
    writeFileSync(path.join(images, 'mine.fd'), Buffer.from(firmware).fill(1, 0, 16));
    const digest = createHash('sha256').update(firmware).digest();
    const { launchMeasurement } = await import('../firmware/channel.ts');
    const blob = await measured(dom);
    const version = { apiMajor: 1, apiMinor: 55, build: 29 };
    const inputs = { ...version, policy: 1, launchDigest: digest, nonce: blob.subarray(32) };
    expect(blob.subarray(0, 32)).toEqual(Buffer.from(launchMeasurement(owner.keys.tik, inputs)));
  });

  test.each<[string, Shape, RegExp]>([
    [
      'a firmware without a place for kernel hashes',
      { policy: 1, firmware: '/lab/small.fd', kernel: { cmdline: 'a' } },
      /SEV: kernel specified but guest firmware has no hashes table GUID$/,
    ],
    [
      'SEV-ES with a firmware without a reset block',
      { policy: 5, firmware: '/lab/small.fd' },
      /SEV information block\/Firmware GUID Table block not found in pflash rom$/,
    ],
    ['an image that is no whole sector', { firmware: '/lab/odd.fd' }, /has invalid size 100$/],
  ])('%s is refused, and costs no slot', async (_, shape, words) => {
    writeFileSync(path.join(images, 'small.fd'), new Uint8Array(8192));
    writeFileSync(path.join(images, 'odd.fd'), new Uint8Array(100));
    const before = host.counters();
    await expect(launch(shape)).rejects.toMatchObject({ message: expect.stringMatching(words) });
    const after = host.counters();
    expect(after.allocations - before.allocations).toBe(after.frees - before.frees);
  });
});

describe('a secret', () => {
  const PLAIN = Buffer.concat([
    Buffer.from('42f5741edd71664d963eef4287ff173b', 'hex'),
    Buffer.from('38000000', 'hex'),
    Buffer.from('e5696873f084734992ec06879ce3da0b', 'hex'),
    Buffer.from('24000000', 'hex'),
    Buffer.from('0123456789abcdef'),
    Buffer.alloc(8),
  ]);

  test('arrives where the firmware wants it, encrypted, and the guest finds it there', async () => {
    const dom = await launch({ policy: 1 });
    const packet = sealSecret(owner.keys, PLAIN, (await measured(dom)).subarray(0, 32));
    await inject(dom, packet);
    expect(await peek(dom, SECRET_AT, PLAIN.length)).not.toEqual(PLAIN);
    await client.call(remote.domainResume, { dom });
    const console = await consoleText(dom);
    const digest = createHash('sha256').update('0123456789abcdef').digest('hex');
    expect(console).toContain(`"guid":"736869e5-84f0-4973-92ec-06879ce3da0b","sha256":"${digest}"`);
  });

  test('is refused with the firmware’s status: a wrong MAC, another launch, an odd address', async () => {
    const [one, two] = [await launch({ policy: 1 }), await launch({ policy: 1 })];
    const packet = sealSecret(owner.keys, PLAIN, (await measured(one)).subarray(0, 32));
    await expect(inject(two, packet)).rejects.toMatchObject({
      code: 1,
      message:
        "internal error: unable to execute QEMU command 'sev-inject-launch-secret': SEV: failed to inject secret ret=-5 fw_error=11 'Bad measurement'",
    });
    await expect(inject(one, packet, SECRET_AT + 8)).rejects.toMatchObject({
      message: expect.stringMatching(/fw_error=9 'Invalid address'$/),
    });
    await expect(inject(one, packet, 2 ** 40)).rejects.toMatchObject({
      message: expect.stringMatching(/No memory is mapped/),
    });
    await inject(one, packet, SECRET_AT);
  });

  test('is refused by QEMU once the guest has run', async () => {
    const dom = await launch({ policy: 1 });
    const packet = sealSecret(owner.keys, PLAIN, (await measured(dom)).subarray(0, 32));
    await client.call(remote.domainResume, { dom });
    await client.call(remote.domainSuspend, { dom });
    await expect(inject(dom, packet)).rejects.toMatchObject({
      message: expect.stringMatching(/SEV: Not in correct state\. \(LSECRET\) 3$/),
    });
  });
});

async function consoleText(dom: NonnullDomain): Promise<string> {
  const seen = client.pushed.length;
  await client.call(remote.domainOpenConsole, { dom, devName: null, flags: 1 });
  await client.call(remote.connectGetHostname, {});
  return client.pushed
    .slice(seen)
    .map(({ payload }) => Buffer.from(payload).toString())
    .join('');
}

describe('memory from the host', () => {
  const cmdline = `console=ttyS0 sevh.canary=${TOKEN}`;
  const token = Buffer.from(TOKEN, 'hex');
  const canary = { firmware: PLAIN_FIRMWARE, kernel: { cmdline, hashes: false } };
  const PRIVATE_AT = 0x0090_0000;
  const SHARED_AT = 0x00a0_0000;

  test('is plain text for a plain guest, and only in shared pages for an encrypted one', async () => {
    const plain = await launch(canary, 0);
    const sev = await launch({ policy: 1, ...canary }, 0);
    for (const [dom, isPrivateVisible] of [
      [plain, true],
      [sev, false],
    ] as const) {
      expect((await peek(dom, PRIVATE_AT, 64)).includes(token)).toBe(isPrivateVisible);
      expect((await peek(dom, SHARED_AT, 64)).includes(token)).toBe(true);
    }
    const flash = Buffer.from(builtinFirmware(PLAIN_FIRMWARE).subarray(0, 4096));
    expect((await peek(plain, FLASH_AT, 4096)).equals(flash)).toBe(true);
    expect((await peek(sev, FLASH_AT, 4096)).equals(flash)).toBe(false);
    expect(await peek(sev, 2 ** 41, 16)).toEqual(Buffer.alloc(16));
  });

  test('is the same by peek, by pmemsave in both monitors, and by xp', async () => {
    const dom = await launch({ policy: 1, ...canary }, 0);
    const expected = await peek(dom, PRIVATE_AT, 64);
    const save = { execute: 'pmemsave', arguments: { val: PRIVATE_AT, size: 64, filename: '/tmp/one' } };
    expect(JSON.parse(await monitor(dom, JSON.stringify(save)))).toMatchObject({ return: {} });
    expect(await monitor(dom, `pmemsave ${PRIVATE_AT} 64 "/tmp/two"`, 1)).toBe('');
    for (const file of ['/tmp/one', '/tmp/two']) {
      expect(Buffer.from((await readFile(file)).content)).toEqual(expected);
    }
    const words = expected.subarray(0, 16);
    const line = [0, 4, 8, 12].map((at) => ` 0x${words.readUInt32LE(at).toString(16).padStart(8, '0')}`).join('');
    expect(await monitor(dom, `xp /4xw 0x${PRIVATE_AT.toString(16)}`, 1)).toBe(`0000000000900000:${line}\r\n`);
  });

  test('is refused for a flag that is neither virtual nor physical, and for more than the wire carries', async () => {
    const dom = await launch({}, 0);
    expect(await client.refusal(remote.domainMemoryPeek, { dom, offset: 0n, size: 16, flags: 3 })).toMatchObject({
      code: 8,
      message: 'invalid argument: flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL',
    });
    expect(await client.refusal(remote.domainMemoryPeek, { dom, offset: 0n, size: 4194305, flags: 2 })).toMatchObject({
      message: 'internal error: size > maximum buffer size',
    });
  });
});

describe("the host's files", () => {
  test('show the firmware and the kernel that a domain names, and no file that none names', async () => {
    await launch({ policy: 1, kernel: { cmdline: '' } });
    expect(Buffer.from((await readFile(FIRMWARE, 64)).content)).toEqual(Buffer.from(builtinFirmware().subarray(0, 64)));
    expect((await readFile('/boot/vmlinuz')).content.length).toBeGreaterThan(0);
    expect(await readFile('/etc/hostname')).toMatchObject({ errno: 2 });
  });

  test('show certificates for the chain of this host that are plainly not AMD’s', async () => {
    await using naples = await startEmulatedHost({ profile: 'naples' });
    await using at = await TestClient.open(naples.socketPath);
    const read = async (name: string) =>
      Buffer.from(
        (
          await at.call(emulatorProcedures.readFile, {
            path: `/var/lib/emulated-sev/${name}`,
            offset: 0n,
            length: 8192,
          })
        ).content,
      );
    expect((await read('ask_ark.cert')).includes('EMULATED-ARK-NAP')).toBe(true);
    expect(await read('cek.cert')).toHaveLength(2084);
  });
});

describe('SMM', () => {
  const withSmm = (name: string, policy: string, smm = "<smm state='on'/>") =>
    guestXml(name, { policy }).replace('<acpi/>', `<acpi/>${smm}`);
  const start = (xmlDesc: string) => client.call(remote.domainCreateXml, { xmlDesc, flags: 0 });

  test('is refused to a guest with SEV-ES as QEMU refuses it, and the slot is free again', async () => {
    const refusal = start(withSmm('es', ES_POLICY));
    await expect(refusal).rejects.toThrow(
      /closed the monitor.*: -accel kvm: System Management Mode not supported by this hypervisor\.$/,
    );
    const { dom } = await start(withSmm('es', ES_POLICY, "<smm state='off'/>"));
    await client.call(remote.domainDestroy, { dom });
  });

  test('is given to a guest with SEV alone', async () => {
    const { dom } = await start(withSmm('sev', SEV_POLICY));
    await client.call(remote.domainDestroy, { dom });
  });
});
