import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeLaunchDigest, DEBUG_SWAP } from '../../attestation/index.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import type { FileReading } from '../host/shell.ts';
import { expectedEsDigests } from './attested.ts';

const PARAMETER = '/sys/module/kvm_amd/parameters/debug_swap';
const LOADER = '/usr/share/OVMF/OVMF_CODE_4M.fd';
/** EPYC 7763, the processor of the emulated Milan. */
const MILAN = 0x00a0_0f11;

let host: Host;
let guestFirmware: Uint8Array;

beforeAll(async () => {
  host = await openHost(parseHostName('fake:milan'), { hasBuiltInImagesOnly: true });
  const reading = await host.shell.readFile(LOADER);
  guestFirmware = reading.outcome === 'read' ? reading.bytes : new Uint8Array();
});
afterAll(() => host?.close());

const text = (words: string): FileReading => ({ outcome: 'read', bytes: new TextEncoder().encode(words) });

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
