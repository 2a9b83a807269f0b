import { expect, test } from 'vitest';
import type { Version } from '../profiles/profile.ts';
import { monitorClosedText, qemuVoice } from './texts.ts';

const at = () => Date.UTC(2026, 0, 2, 3, 4, 5, 678);

test.each<[Version, string, string]>([
  [[5, 2, 0], 'sev_guest_init', 'failed to initialize KVM: Operation not permitted'],
  [[6, 0, 0], 'sev_kvm_init', 'failed to initialize kvm: Operation not permitted'],
  [[9, 0, 4], 'sev_kvm_init', 'failed to initialize kvm: Operation not permitted'],
  [[9, 1, 0], 'sev_common_kvm_init', 'failed to initialize kvm: Operation not permitted'],
])('QEMU %j reports from %s', (version, initFunction, accelFailure) => {
  expect(qemuVoice(version, at)).toMatchObject({ initFunction, accelFailure });
  expect(qemuVoice(version, at).accelLine('words')).toBe(
    '2026-01-02T03:04:05.678000Z qemu-system-x86_64: -accel kvm: words',
  );
});

test.each<[Version, string]>([
  [[9, 0, 0], 'qemu unexpectedly closed the monitor: words'],
  [[11, 3, 0], "QEMU unexpectedly closed the monitor (vm='guest'): words"],
])('libvirt %j wraps it', (version, expected) => {
  expect(monitorClosedText(version, 'guest', 'words')).toBe(expected);
});
