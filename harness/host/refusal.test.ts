import { describe, expect, it } from 'vitest';
import { RemoteError } from '../libvirt/index.ts';
import { firmwareStatusIn, refusalOf } from './refusal.ts';

function refused(message: string | null): RemoteError {
  return new RemoteError('start guest', 'domainCreateXml', {
    ...{ code: 1, domain: 10, level: 2, message, dom: null, net: null },
    ...{ str1: null, str2: null, str3: null, int1: 0, int2: 0 },
  });
}

const QEMU = 'internal error: qemu unexpectedly closed the monitor: 2026-11-23T00:00:00.000000Z qemu-system-x86_64: ';

describe('refusalOf', () => {
  it.each([
    ['QEMU 5', `${QEMU}sev_guest_init: failed to initialize ret=-16 fw_error=0 ''`],
    ['QEMU 6 to 9.0', `${QEMU}-accel kvm: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''`],
    ['QEMU 9.1 and later', `${QEMU}-accel kvm: sev_common_kvm_init: failed to initialize ret=-16 fw_error=0 ''`],
  ])('reads "no free slot" in the words of %s', (_, text) => {
    expect(refusalOf(refused(text))).toMatchObject({ cause: 'no-free-slot', text });
  });

  it('does not take another errno for exhaustion', () => {
    expect(refusalOf(refused(`${QEMU}sev_kvm_init: failed to initialize ret=-25 fw_error=0 ''`)).cause).toBe(
      'no-such-pool',
    );
    expect(
      refusalOf(refused(`${QEMU}sev_kvm_init: failed to initialize ret=-5 fw_error=19 'Hardware error'`)).cause,
    ).toBe('unknown');
  });

  it('does not believe QEMU that LAUNCH_START returned 1', () => {
    const refusal = refusalOf(
      refused(`${QEMU}sev_launch_start: LAUNCH_START ret=1 fw_error=7 'Policy is not allowed'`),
    );
    expect(refusal.cause).toBe('launch-refused-by-firmware');
    expect(refusal.words).toContain("7 ('Policy is not allowed')");
  });

  it('takes no consequence for a cause', () => {
    const refusal = refusalOf(refused('internal error: qemu unexpectedly closed the monitor'));
    expect(refusal.cause).toBe('unknown');
    expect(refusal.words).toContain('without a text that we know');
  });

  it('keeps a text that it does not know', () => {
    expect(refusalOf(refused('something new'))).toMatchObject({ cause: 'unknown', text: 'something new' });
  });
});

describe('firmwareStatusIn', () => {
  const launch = `${QEMU}sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Measurement failure'`;
  const secret = "internal error: unable to execute QEMU command: SEV: failed to inject secret ret=-5 fw_error=4 ''";
  it.each([
    ['LAUNCH_START', launch, 11],
    ['failed to inject secret', secret, 4],
    ['failed to inject secret', launch, undefined],
    ['LAUNCH_START', secret, undefined],
    ['LAUNCH_START', `${QEMU}sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''`, undefined],
  ] as const)('reads the status of "%s", and of no other step, in %j', (step, text, status) => {
    expect(firmwareStatusIn(text, step)).toBe(status);
  });
});
