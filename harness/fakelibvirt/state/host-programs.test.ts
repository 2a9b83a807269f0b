import { describe, expect, test } from 'vitest';
import type { FaultId } from '../faults/catalogue.ts';
import { FaultSwitches } from '../faults/switches.ts';
import { type ProfileName, profiles } from '../profiles/index.ts';
import { readHostFile } from './host-files.ts';
import { runProgram } from './host-programs.ts';
import { Machine } from './machine.ts';

function machine(profile: ProfileName = 'naples-es', ...faults: FaultId[]): Machine {
  return new Machine(profiles[profile], new FaultSwitches(faults), 'none');
}

function run(on: Machine, name: string, input: object) {
  const { exitCode, output } = runProgram(on, name, JSON.stringify(input));
  return exitCode === 0 ? JSON.parse(output) : { exitCode, output };
}

const ends = ({ answers }: { answers: { errno: number; status: number | null }[] }) =>
  answers.map(({ errno, status }) => [errno, status]);
const device = (...commands: string[]) => ({
  commands: commands.map((command) => ({ command, lengths: [2084, 6252] })),
});
const launch = (policy: number, more: object = {}) => ({ launches: [{ isEs: false, policy, loads: [], ...more }] });

describe('the device', () => {
  test('starts the firmware where a command needs it, and not to ask for its state', () => {
    const host = machine();
    const [before, , after] = run(
      host,
      'sev-device',
      device('PLATFORM_STATUS', 'PDH_CERT_EXPORT', 'PLATFORM_STATUS'),
    ).answers;
    const stateOf = (answer: { outputs: string[] }) => Buffer.from(answer.outputs[0] ?? '', 'base64')[2];
    expect([stateOf(before), stateOf(after)]).toEqual([0, 1]);
  });

  test('is not there on a host whose BIOS hides it', () => {
    expect(run(machine('sev-off-in-bios'), 'sev-device', device('GET_ID'))).toEqual({ unopened: 2 });
    expect(run(machine('no-sev'), 'bare-launch', launch(1))).toEqual({ unopened: 2 });
  });

  test('refuses what it does not know without asking the firmware', () => {
    expect(ends(run(machine(), 'sev-device', device('SNP_PLATFORM_STATUS', 'toString')))).toEqual([
      [22, null],
      [22, null],
    ]);
  });

  test('resets a platform without guests only', () => {
    const host = machine();
    expect(ends(run(host, 'sev-device', device('FACTORY_RESET')))).toEqual([[0, 0]]);
    const pdh = () => run(host, 'sev-device', device('PDH_CERT_EXPORT')).answers[0].outputs[0];
    const before = pdh();
    const begun = host.kvm.init('sev');
    if (!begun.ok) throw new Error('no ASID');
    const { vm } = host.kvm.launchStart(begun.vm, 1);
    expect(ends(run(host, 'sev-device', device('FACTORY_RESET', 'PEK_GEN')))).toEqual([
      [16, 0],
      [5, 1],
    ]);
    expect(pdh()).toBe(before);
    host.kvm.destroy(vm, 'stopped');
    expect(ends(run(host, 'sev-device', device('FACTORY_RESET')))).toEqual([[0, 0]]);
    expect(pdh()).not.toBe(before);
  });
});

describe('a launch without QEMU', () => {
  test('encrypts what it loads, and holds its slot no longer than it lasts', () => {
    const host = machine();
    const fillHex = '41'.repeat(16);
    const loads = [0, 1, 0].map((page) => ({ page, fillHex }));
    const [answer] = run(host, 'bare-launch', launch(0x8, { loads, debugPage: 1, isMeasured: true })).answers;
    const [first, other, again] = answer.loads.map(({ seenHex }: { seenHex: string }) => seenHex);
    expect(first).not.toBe(fillHex);
    expect(other).not.toBe(first);
    expect(again).toBe(first);
    expect(answer).toMatchObject({ reportedPolicy: 0x8, debug: { errno: 0, seenHex: fillHex }, measure: { errno: 0 } });
    expect(Buffer.from(answer.measurement, 'base64')).toHaveLength(48);
    expect(host.kvm.misc.current('sev')).toBe(0);
    expect(host.sevDriver.guestCount).toBe(0);
  });

  test('that the firmware refuses leaves nothing either', () => {
    const host = machine('naples');
    expect(run(host, 'bare-launch', launch(0x4)).answers[0]).toMatchObject({ start: { errno: 5, status: 21 } });
    expect(run(host, 'bare-launch', launch(0x4, { isEs: true })).answers[0]).toMatchObject({
      init: { errno: 25, status: null },
    });
    expect(host.kvm.misc.current('sev')).toBe(0);
  });
});

describe('a program', () => {
  test.each([
    ['no-such-program', '{}', 127],
    ['toString', '{}', 127],
    ['sev-device', 'not JSON', 1],
    ['sev-device', '{}', 1],
    ['sev-device', 'null', 1],
    ['bare-launch', '{"launches":[{}]}', 1],
    ['bare-launch', '{"launches":[{"policy":1,"loads":[{"page":3,"fillHex":"00"}]}]}', 1],
    ['bare-launch', '{"launches":[{"policy":1,"loads":[],"debugPage":-1}]}', 1],
    ['state-table', '{"commands":["INIT"]}', 1],
  ])('%s given %s ends with %i, and the host goes on', (name, input, exitCode) => {
    const host = machine();
    expect(runProgram(host, name, input).exitCode).toBe(exitCode);
    expect(run(host, 'sev-device', device('GET_ID')).answers).toHaveLength(1);
  });
});

describe('with a fault', () => {
  const read = (host: Machine, path: string) => {
    const reading = readHostFile(host, path, 0, 1_000_000);
    return reading.ok ? Buffer.from(reading.content).toString() : '';
  };
  const build = (host: Machine) => {
    const [status] = run(host, 'sev-device', device('PLATFORM_STATUS')).answers;
    return Buffer.from(status.outputs[0], 'base64')[7];
  };

  test('firmware-outdated: firmware and kernel log tell a build with a defect', () => {
    const host = machine('milan', 'firmware-outdated');
    expect(build(host)).toBe(21);
    expect(read(host, '/var/log/dmesg')).toContain('SEV API:1.55 build:21');
    expect(build(machine('milan'))).toBe(29);
  });

  test('kernel-log-build-stale: the kernel log alone tells another build', () => {
    const host = machine('milan', 'kernel-log-build-stale');
    expect(build(host)).toBe(29);
    expect(read(host, '/var/log/dmesg')).toContain('SEV API:1.55 build:28');
  });

  test('microcode-outdated and microcode-hidden: /proc/cpuinfo tells an old microcode, or none', () => {
    expect(read(machine('milan'), '/proc/cpuinfo')).toContain('microcode\t: 0xa0011db\n');
    expect(read(machine('milan', 'microcode-outdated'), '/proc/cpuinfo')).toContain('microcode\t: 0xa0011ce\n');
    expect(read(machine('milan', 'microcode-hidden'), '/proc/cpuinfo')).not.toContain('microcode');
  });
});
