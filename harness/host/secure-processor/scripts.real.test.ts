import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchBare, launchEnd } from './bare-launch.ts';
import { issueCommands, parsePlatformStatus, WHOLE_CHAIN } from './device.ts';
import { endText, type ProgramHost } from './program.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sevh-ioctls-'));
const library = path.join(folder, 'ioctls.so');

beforeAll(() => {
  execaSync('gcc', ['-shared', '-fPIC', '-o', library, path.join(import.meta.dirname, 'testing/ioctls.c')]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A host whose kernel answers as a compiler that reads its headers understands them. */
function host(device = '/dev/null'): ProgramHost {
  return {
    shell: {
      where: 'local',
      run: async ([program = '', ...args]) => {
        const words = args.map((word) => word.replaceAll(/\/dev\/(?:sev|kvm)/g, device));
        const { stdout, stderr, exitCode } = execaSync(program, words, { env: { LD_PRELOAD: library }, reject: false });
        if (exitCode !== 0) return { outcome: 'unreadable', because: stderr };
        return { outcome: 'read', bytes: new TextEncoder().encode(stdout) };
      },
    },
    connection: { callEmulator: () => Promise.reject(new Error('no emulated host')) },
  };
}

describe('the program for /dev/sev', () => {
  test('means the structures of linux/psp-sev.h', async () => {
    const answers = await issueCommands(host(), [
      { command: 'PLATFORM_STATUS' },
      WHOLE_CHAIN,
      { command: 'PDH_CERT_EXPORT', lengths: [16, 16] },
      { command: 'GET_ID', lengths: [128] },
      { command: 'PDH_GEN' },
      { command: 'PEK_GEN' },
      { command: 'FACTORY_RESET' },
    ]);
    if ('because' in answers) throw new Error(answers.because);
    expect(answers.map(endText)).toEqual([
      'SUCCESS',
      'SUCCESS',
      'INVALID_LENGTH (4)',
      'SUCCESS',
      'SUCCESS',
      'INVALID_PLATFORM_STATE (1)',
      'EBUSY by the driver',
    ]);
    const [status, chain, short, id] = answers;
    expect(parsePlatformStatus(status?.outputs[0] ?? new Uint8Array(12))).toEqual({
      api: '1.55',
      build: 24,
      state: 'WORKING',
      isEsEnabled: true,
      isExternallyOwned: true,
      guestCount: 3,
    });
    expect(chain?.outputs.map((bytes) => [bytes.length, new Set(bytes)])).toEqual([
      [2084, new Set([0xaa])],
      [6252, new Set([0xbb])],
    ]);
    expect(short).toMatchObject({ lengths: [2084, 6252], outputs: [] });
    expect(id?.outputs.map((bytes) => [bytes.length, new Set(bytes)])).toEqual([[64, new Set([0xcc])]]);
  });

  test('says which device is missing', async () => {
    expect(await issueCommands(host('/dev/none'), [WHOLE_CHAIN])).toEqual({ because: '/dev/sev is not there' });
  });
});

describe('the program for launches without QEMU', () => {
  const owner = { godh: new Uint8Array(2084).fill(0x11), session: new Uint8Array(128).fill(0x22) };
  const loads = [
    { page: 0, fillHex: '00'.repeat(16) },
    { page: 2, fillHex: '0f'.repeat(16) },
  ];

  test('means the structures of linux/kvm.h', async () => {
    const answers = await launchBare(host(), [
      { policy: 0x1234_0002, owner, loads, debugPage: 2, isMeasured: true },
      { policy: 0x0001, owner, loads, debugPage: 0 },
      { policy: 0x0001 },
      { policy: 0x0005, owner, isEs: true },
    ]);
    if ('because' in answers) throw new Error(answers.because);
    expect(answers.map((answer) => endText(launchEnd(answer)))).toEqual([
      'SUCCESS',
      'SUCCESS',
      'INVALID_LENGTH (4)',
      'ENOTTY by the driver',
    ]);
    const [open, closed] = answers;
    expect(open).toMatchObject({
      reportedPolicy: 0x1234_0002,
      loads: [{ seenHex: 'ff'.repeat(16) }, { seenHex: 'f0'.repeat(16) }],
      debug: { errno: 0, status: 0, seenHex: '0f'.repeat(16) },
      measurement: new Uint8Array(48).fill(0xdd),
    });
    expect(closed?.debug).toMatchObject({ status: 7, seenHex: '00'.repeat(16) });
    expect(closed?.measurement).toBeUndefined();
  });

  test('takes more launches than one argument of a program holds', async () => {
    const launches = Array.from({ length: 64 }, (_, policy) => ({ policy, owner }));
    const answers = await launchBare(host(), launches);
    if ('because' in answers) throw new Error(answers.because);
    expect(answers.map(({ reportedPolicy }) => reportedPolicy)).toEqual(launches.map(({ policy }) => policy));
  });
});
