import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeLaunchDigest, DEBUG_SWAP, parseOvmfTable } from '../../attestation/index.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { readWholeFile } from '../host/files.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import type { FileReading } from '../host/shell.ts';
import { expectedEsDigests, findSecretPlace } from './attested.ts';

const PARAMETER = '/sys/module/kvm_amd/parameters/debug_swap';
const LOADER = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const AMD_SEV = '/usr/share/ovmf/OVMF.amdsev.fd';
/** EPYC 7763, the processor of the emulated Milan. */
const MILAN = 0x00a0_0f11;

let host: Host;
let facts: SevFacts;
let guestFirmware: Uint8Array;

beforeAll(async () => {
  host = await openHost(parseHostName('fake:milan'), { hasBuiltInImagesOnly: true });
  facts = await readSevFacts(host);
  guestFirmware = await bytesOf(LOADER);
});
afterAll(() => host?.close());

const text = (words: string): FileReading => ({ outcome: 'read', bytes: new TextEncoder().encode(words) });

async function bytesOf(path: string): Promise<Uint8Array> {
  const reading = await readWholeFile(host.shell, path);
  return reading.outcome === 'read' ? reading.bytes : new Uint8Array();
}

/** The same host with another kernel. */
const withKernel = (release: string, parameter: FileReading): Host => ({
  ...host,
  shell: {
    ...host.shell,
    readFile: async (path, range) => {
      if (path === PARAMETER) return parameter;
      return path === '/proc/sys/kernel/osrelease' ? text(`${release}\n`) : host.shell.readFile(path, range);
    },
  },
});

describe('what the measurement of an SEV-ES guest may be', () => {
  const digest = (form: 'legacy' | 'init2', sevFeatures = 0) =>
    computeLaunchDigest({ guestFirmware, vcpus: { kind: 'built', count: 1, cpuSignature: MILAN, form, sevFeatures } });
  const digestsOf = async (one: Host) => (await expectedEsDigests(one, guestFirmware)).map((known) => known.digest);

  it('has a VMSA without features where the kernel does not know DebugSwap', async () => {
    expect(await digestsOf(host)).toEqual([digest('legacy'), digest('init2')]);
  });

  it.each<[string, string, FileReading]>([
    ['6.6.23 by default', '6.6.23-generic', text('Y\n')],
    ['6.8.0 when it is asked for', '6.8.0-31-generic', text('Y\n')],
    ['6.7.1 that does not show its parameter', '6.7.1', { outcome: 'unreadable', because: 'EACCES' }],
  ])('may have DebugSwap on Linux %s, and the words say so', async (_, release, parameter) => {
    const known = await expectedEsDigests(withKernel(release, parameter), guestFirmware);
    expect(known.map((one) => one.digest)).toEqual([digest('legacy'), digest('init2'), digest('legacy', DEBUG_SWAP)]);
    expect(known[2]?.vmsa).toContain('DebugSwap (SEV_FEATURES 0x20), which kvm_amd.debug_swap adds');
  });

  it.each<[string, string, FileReading]>([
    ['6.6.24 by default', '6.6.24-generic', text('N\n')],
    ['6.12, which leaves it to QEMU', '6.12.48+deb13-amd64', text('Y\n')],
    ['without the parameter', '7.1.0', { outcome: 'absent' }],
  ])('has none on Linux %s', async (_, release, parameter) => {
    expect(await digestsOf(withKernel(release, parameter))).toEqual([digest('legacy'), digest('init2')]);
  });
});

describe('the place for a secret', () => {
  /** The same host with these images and no other. */
  const withImages = (images: Readonly<Record<string, Uint8Array>>): Host => ({
    ...host,
    shell: {
      ...host.shell,
      readFile: async (path, { offset, length } = { offset: 0, length: Number.POSITIVE_INFINITY }) => {
        const bytes = images[path]?.subarray(offset, offset + length);
        return bytes === undefined ? { outcome: 'absent' } : { outcome: 'read', bytes };
      },
    },
  });

  it('is that of the AmdSev build of OVMF, whose guests boot measured, where the usual one names none', async () => {
    expect(await findSecretPlace(host, facts)).toEqual({
      address: 0x0080_d000,
      launch: { loader: AMD_SEV, isBootMeasured: true },
    });
  });

  it('is that of an AmdSev build with a measured boot where libvirt offers nothing else', async () => {
    const { launch } = await findSecretPlace(withImages({ [AMD_SEV]: await bytesOf(AMD_SEV) }), {
      ...facts,
      loaders: [AMD_SEV],
    });
    expect(launch).toEqual({ loader: AMD_SEV, isBootMeasured: true });
  });

  it('is that of the usual image where it names one and starts what nobody measured', async () => {
    const image = Uint8Array.from(await bytesOf(AMD_SEV));
    const hashes = parseOvmfTable(image).entries.find(({ name }) => name === 'SEV hashes table');
    image.fill(0, hashes?.offset, (hashes?.offset ?? 0) + 8);
    expect(await findSecretPlace(withImages({ [LOADER]: image }), facts)).toEqual({
      address: 0x0080_d000,
      launch: {},
    });
  });

  it('is no place to look for it in the guest where no image names one: the reason says what to install', async () => {
    expect(await findSecretPlace(withImages({ [LOADER]: guestFirmware }), facts)).toEqual({
      address: 0x0080_d000,
      launch: {},
      because: expect.stringMatching(/OVMF_CODE_4M\.fd names no place .* install an AmdSev build of OVMF/),
    });
  });
});
