import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.ts';
import { log, plain } from './testing/texts.ts';
import { formatDiagnosis, isExplained } from './text.ts';

describe('a log of several starts', () => {
  const start = '2026-11-23 03:12:44.100+0000: starting up libvirt version: 9.0.0, package: 4, qemu version: 7.2.22';
  const full = "sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''";
  const cbit = "sev_kvm_init: cbitpos check failed, host '51' requested '47'";
  const twoStarts = [start, full, full, start, cbit].join('\n');

  it('puts what the last start tells before what earlier ones told, and says so', () => {
    const diagnosis = diagnose(log(twoStarts));
    expect(diagnosis.findings).toMatchObject([
      { id: 'cbitpos-wrong', line: 5 },
      { id: 'no-free-slot', line: 2, occurrences: 2, isFromEarlierStart: true },
    ]);
    expect(diagnosis.findings[0]).not.toHaveProperty('isFromEarlierStart');
    expect(formatDiagnosis(diagnosis, plain)).toMatch(
      /^1 cause found, the surest first. 1 cause of earlier starts below./,
    );
  });

  it("takes the kernel's log in front of it for no earlier start", () => {
    const dmesg = '[   12.345678] kvm_amd: SEV disabled (ASIDs 1 - 15)\n[   12.4] ccp: sev something new failed';
    const { findings, unknown } = diagnose(log([dmesg, start, 'it failed'].join('\n')));
    expect(findings).toMatchObject([{ id: 'sev-off-in-kernel', line: 1 }]);
    expect(findings[0]).not.toHaveProperty('isFromEarlierStart');
    expect(unknown.map(({ line }) => line)).toEqual([2, 4]);
  });

  it('names the place in the last start of what also happened before', () => {
    const [found] = diagnose(log([start, full, start, full].join('\n'))).findings;
    expect(found).toMatchObject({ line: 4, occurrences: 2 });
    expect(found).not.toHaveProperty('isFromEarlierStart');
  });

  it('does not take an earlier cause for that of a last start which failed in unknown words', () => {
    const diagnosis = diagnose(log([start, 'this failed', full, start, 'that failed'].join('\n')));
    expect(diagnosis.unknown).toMatchObject([{ line: 5 }]);
    expect(isExplained(diagnosis)).toBe(false);
  });

  it('whose last start went well reports no failure', () => {
    const diagnosis = diagnose(log([start, full, start, 'char device redirected to /dev/pts/1'].join('\n')));
    expect(isExplained(diagnosis)).toBe(true);
    expect(formatDiagnosis(diagnosis, plain)).toMatch(/^Nothing since the last start reports a failure. 1 cause/);
  });

  it('says nothing of how old the lines of another text are', () => {
    const [found] = diagnose([
      { name: 'dmesg', text: 'SEV: memory encryption not enabled by BIOS' },
      ...log(start),
    ]).findings;
    expect(found).not.toHaveProperty('isFromEarlierStart');
  });
});

describe('a whole log that libvirt wrote of a guest that was destroyed', () => {
  const whole = [
    '2026-11-23 04:04:40.100+0000: starting up libvirt version: 9.0.0, package: 9.0.0-4+deb12u2 (Debian), qemu version: 7.2.22Debian 1:7.2+dfsg-7+deb12u18, kernel: 6.18.44, hostname: lab7',
    'LC_ALL=C \\',
    'PATH=/usr/local/sbin:/usr/bin \\',
    '/usr/bin/qemu-system-x86_64 \\',
    '-name guest=error-guest,debug-threads=on \\',
    '-blockdev \'{"driver":"file","node-name":"failed"}\' \\',
    '-msg timestamp=on',
    'char device redirected to /dev/pts/3 (label charserial0)',
    '2026-11-23T04:04:40.710046Z qemu-system-x86_64: terminating on signal 15 from pid 3060 (libvirtd)',
    '2026-11-23 04:04:40.913+0000: shutting down, reason=destroyed',
  ].join('\n');

  it('reports no failure', () => {
    const diagnosis = diagnose(log(whole));
    expect(diagnosis).toMatchObject({ findings: [{ id: 'qemu-stopped-by-libvirt', kind: 'benign' }], unknownCount: 0 });
    expect(isExplained(diagnosis)).toBe(true);
  });
});

describe('a whole log that libvirt wrote of a start that failed', () => {
  const whole = (words: string) =>
    [
      '2026-11-23 04:04:40.100+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22, kernel: 6.18.44',
      '/usr/bin/qemu-system-x86_64 \\',
      '-msg timestamp=on',
      words,
      '2026-11-23 04:04:40.913+0000: shutting down, reason=failed',
    ].join('\n');

  it('is explained by the cause alone, whose end its last line is', () => {
    const text = "2026-11-23T04:04:40.7Z qemu-system-x86_64: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''";
    const diagnosis = diagnose(log(whole(text)));
    expect(diagnosis).toMatchObject({ findings: [{ kind: 'cause' }, { id: 'start-gave-up', kind: 'symptom' }] });
    expect(diagnosis.unknownCount).toBe(0);
    expect(isExplained(diagnosis)).toBe(true);
  });

  it('is not explained where nothing else is said, and names where to look', () => {
    const diagnosis = diagnose(log(whole('char device redirected to /dev/pts/3 (label charserial0)')));
    expect(isExplained(diagnosis)).toBe(false);
    const text = formatDiagnosis(diagnosis, plain);
    expect(text).toContain('Something failed, and the lines that say why are not here.');
    expect(text).toMatch(/do: .*journalctl/);
    expect(text).not.toContain('unknown');
  });
});
