import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.ts';
import { diagnosisTable } from './table/index.ts';
import { fieldMessages } from './testing/field-messages.ts';
import { log, plain } from './testing/texts.ts';
import { formatDiagnosis, isExplained } from './text.ts';

const entries = Object.values(diagnosisTable).flat();
const ids = (text: string, versions = {}) => diagnose(log(text), versions).findings.map(({ id }) => id);

describe('messages of the field', () => {
  it('are at least forty', () => {
    expect(fieldMessages.length).toBeGreaterThanOrEqual(40);
  });

  it.each(fieldMessages.map(([text, id, words]) => ({ id, text, words })))('$id: $text', ({ text, id, words }) => {
    const diagnosis = diagnose(log(text));
    const [first] = diagnosis.findings;
    expect(first?.id).toBe(id);
    expect(diagnosis.unknown).toEqual([]);
    expect(first?.cause).not.toMatch(/[{}?]/);
    if (words !== undefined) expect(`${first?.cause}\n${first?.fix}\n${first?.caution}`).toMatch(words);
  });
});

describe('the table', () => {
  it.each(entries.map((entry) => [entry.id, entry] as const))('recognises its own example: %s', (id, entry) => {
    const { findings } = diagnose([
      { name: 'x', text: entry.example, ...(entry.libvirt && { libvirt: entry.libvirt }) },
    ]);
    expect(findings.map((finding) => finding.id)).toContain(id);
    expect(findings.find((finding) => finding.id === id)?.cause).not.toMatch(/[{}?]/);
  });

  it('has no id twice, and one line of text for each of its words', () => {
    const all = entries.map(({ id }) => id);
    expect(all.filter((id, index) => all.indexOf(id) !== index)).toEqual([]);
    for (const { cause, fix, example, source } of entries)
      for (const text of [cause, fix, example, source]) expect(text).toMatch(/^\S.*\S$/);
  });

  it('is never taken for a cause by what is harmless', () => {
    for (const { kind, example, id } of entries)
      if (kind === 'benign')
        expect(diagnose(log(example)).findings.map((finding) => [finding.id, finding.kind])).toEqual([[id, kind]]);
  });
});

describe('what misleads', () => {
  it('does not let ret=1 count: another ret changes nothing', () => {
    const start = (ret: number) => `sev_launch_start: LAUNCH_START ret=${ret} fw_error=11 'Bad measurement'`;
    expect(ids(start(1))).toEqual(ids(start(-22)));
  });

  it('blames the kernel where fw_error is 0, and the firmware where it is not', () => {
    const refusal = (fw: number) =>
      diagnose(log(`sev_launch_start: LAUNCH_START ret=1 fw_error=${fw} 'x'`)).findings[0];
    expect(refusal(0)?.refusal).toBeUndefined();
    expect(refusal(7)?.refusal).toBe('launch-refused-by-firmware');
    expect(refusal(10)?.refusal).toBe('launch-refused-by-firmware');
  });

  it('does not take a status name for shifted when it stands beside its own number', () => {
    const names = [
      'INVALID_PAGE_SIZE',
      'INVALID_PAGE_STATE',
      'INVALID_MDATA_ENTRY',
      'INVALID_PAGE_OWNER',
      'AEAD_OFLOW',
    ];
    for (const [index, name] of names.entries()) expect(ids(`error ${0x19 + index} (${name})`)).toEqual([]);
    const more = [
      'RMP_INIT_REQUIRED',
      'BAD_SVN',
      'BAD_VERSION',
      'SHUTDOWN_REQUIRED',
      'UPDATE_FAILED',
      'RESTORE_REQUIRED',
    ];
    for (const [index, name] of more.entries()) expect(ids(`error ${0x20 + index} (${name})`)).toEqual([]);
    expect(ids('SEV_RET_INVALID_PAGE_SIZE')).toEqual([]);
  });

  it('is said only of the line of LAUNCH_START, whose ret it is', () => {
    const cautions = (step: string) =>
      [0, 2, 7, 12].flatMap((fw) =>
        diagnose(log(`${step} ret=-5 fw_error=${fw} 'x'`)).findings.map(({ caution }) => caution),
      );
    expect(cautions('LAUNCH_START')).toContainEqual(expect.stringContaining('ret of this line'));
    for (const step of ['SNP_LAUNCH_START', 'LAUNCH_UPDATE', 'LAUNCH_FINISH'])
      expect(cautions(step).filter((caution) => caution !== undefined)).toEqual([]);
  });

  it('does not let SEV have come up where the same text says that its firmware did not start', () => {
    const up = 'ccp 0: SEV API:1.55 build:7\nkvm_amd: SEV enabled (ASIDs 100 - 509)';
    expect(ids(up)).toEqual(['sev-is-up']);
    expect(ids(`ccp 0: SEV-SNP: failed to INIT rc -5, error 0x3\n${up}`)).toContain('sev-is-up');
    for (const failure of [
      'ccp 0: SEV: failed to INIT error 0x1, rc -5',
      'ccp 0: SEV: INIT failed 0x1, rc -5',
      'ccp 0: sev command 0x4 timed out, disabling PSP',
    ])
      expect(ids(`${failure}\n${up}`)).not.toContain('sev-is-up');
  });

  it('is less than certain where the words fit more than one cause', () => {
    const sureness = (text: string) => diagnose(log(text)).findings.map(({ confidence }) => confidence);
    const init = (ret: number) => `sev_kvm_init: failed to initialize ret=${ret} fw_error=0 ''`;
    expect(sureness(init(-16))).toEqual(['likely']);
    expect(sureness(init(-25))).toEqual(['likely']);
    expect(diagnose(log(init(-16))).findings[0]?.caution).toContain('disabling PSP');
    expect(diagnose(log(init(-25))).findings[0]?.fix).toContain('kvm_amd.sev,');
    expect(sureness("failed to register region (0x7+0x8) error 'Cannot allocate memory'")).toEqual(['likely']);
    expect(sureness("LAUNCH_UPDATE_VMSA ret=-5 fw_error=3 'x'")).toEqual(['possible']);
    expect(sureness('ccp 0: SEV: memory encryption not enabled by BIOS')).toEqual(['likely']);
  });

  it('does not take "Operation not permitted" of the accelerator for a missing right', () => {
    const { findings } = diagnose(log('qemu: -accel kvm: failed to initialize kvm: Operation not permitted'));
    expect(findings).toMatchObject([{ id: 'kvm-not-initialized', kind: 'symptom' }]);
    expect(isExplained(diagnose(log('failed to initialize kvm: Operation not permitted')))).toBe(false);
  });
});

describe('ranking', () => {
  const text = [
    "error: internal error: qemu unexpectedly closed the monitor: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''",
    'ccp 0000:22:00.1: Direct firmware load for amd/sev.fw failed with error -2',
    'qemu-system-x86_64: -accel kvm: failed to initialize kvm: Operation not permitted',
    "sev_kvm_init: failed to initialize ret=-22 fw_error=0 ''",
    "sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''",
  ].join('\n');

  it('puts causes before what followed and what is harmless, and the surer first', () => {
    expect(ids(text)).toEqual([
      'no-free-slot',
      'init-invalid-argument',
      'qemu-died',
      'kvm-not-initialized',
      'firmware-file-absent',
    ]);
  });

  it('counts repetitions and names the first place', () => {
    expect(diagnose(log(text)).findings[0]).toMatchObject({ occurrences: 2, line: 1, evidence: 'qemu.log' });
  });

  it('prefers what fits the line to what fits the kind of line', () => {
    expect(ids("sev_launch_start: LAUNCH_START ret=1 fw_error=4 'Buffer too small'")).toEqual(['session-length']);
  });
});

describe('versions', () => {
  const denied = "sev_kvm_init: Failed to open /dev/sev 'Permission denied'";

  it('decide between causes', () => {
    expect(ids(denied, { libvirt: [5, 0, 0] })).toContain('dev-sev-denied-while-probing');
    expect(ids(denied, { libvirt: [9, 0, 0] })).toEqual(['dev-sev-denied']);
  });

  it('make a cause that depends on them only possible when they are unknown', () => {
    const found = diagnose(log(denied)).findings.find(({ id }) => id === 'dev-sev-denied-while-probing');
    expect(found?.confidence).toBe('possible');
  });

  it("are read from the head of libvirt's log", () => {
    const head =
      '2026-11-23 03:12:44.100+0000: starting up libvirt version: 9.0.0, package: 4+deb12u2, qemu version: 7.2.17Debian, kernel: 6.1.0-28-amd64, hostname: lab7';
    expect(diagnose(log(`${head}\n${denied}`))).toMatchObject({
      versions: { libvirt: [9, 0, 0], qemu: [7, 2, 17], kernel: [6, 1, 0] },
      findings: [{ id: 'dev-sev-denied', writtenBy: 'QEMU 6.0 to 9.0' }],
    });
  });

  it('are read of a kernel without anything behind its numbers', () => {
    const head = 'starting up libvirt version: 9.0.0, package: 1, qemu version: 9.1.0, kernel: 6.11.0, hostname: lab7';
    expect(diagnose(log(head)).versions).toEqual({ libvirt: [9, 0, 0], qemu: [9, 1, 0], kernel: [6, 11, 0] });
  });

  it('are those of the last start that the log tells of', () => {
    const starts = ['8.0.0', '9.0.0']
      .map((version) => `starting up libvirt version: ${version}, package: 1`)
      .join('\n');
    expect(diagnose(log(starts)).versions).toEqual({ libvirt: [9, 0, 0] });
  });
});

describe("libvirt's code and domain", () => {
  const text = 'unsupported configuration: SEV launch security is not supported with this QEMU binary';

  it('must be those of the entry where they are known', () => {
    const withCode = (code: number) => diagnose([{ name: 'x', text, libvirt: { code, domain: 10 } }]).findings;
    expect(withCode(67)).toMatchObject([{ id: 'sev-unsupported' }]);
    expect(withCode(1)).toEqual([]);
  });
});

describe('unknown text', () => {
  it('is said to be unknown, line by line', () => {
    const diagnosis = diagnose(log('all good\nqemu: something new failed badly\n'));
    expect(diagnosis.unknown).toEqual([{ evidence: 'qemu.log', line: 2, text: 'qemu: something new failed badly' }]);
    expect(isExplained(diagnosis)).toBe(false);
    expect(formatDiagnosis(diagnosis, plain)).toContain('in words that the table does not know');
  });

  it('is cut after twenty lines, and counted', () => {
    const diagnosis = diagnose(log('it failed\n'.repeat(50)));
    expect([diagnosis.unknown.length, diagnosis.unknownCount]).toEqual([20, 50]);
    expect(formatDiagnosis(diagnosis, plain)).toContain('… and 30 more');
  });

  it.each(['qemu-system-x86_64: ', 'qemu-kvm: ', '2026-11-23T03:12:45.1Z qemu-system-x86_64: -device x: '])(
    'behind %j is a failure in whatever words, unless it warns or informs',
    (prefix) => {
      expect(diagnose(log(`${prefix}the moon is in the wrong phase`)).unknownCount).toBe(1);
      expect(diagnose(log(`${prefix}warning: the moon is full\n${prefix}info: moon`)).unknownCount).toBe(0);
    },
  );

  it("does not take QEMU's command line in libvirt's log for failures", () => {
    const commandLine =
      '/usr/bin/qemu-system-x86_64 \\\n-name guest=error-test \\\n-device virtio-blk,werror=stop\n-object \'{"id":"invalid"}\'';
    expect(diagnose(log(commandLine))).toMatchObject({ findings: [], unknownCount: 0 });
    expect(diagnose(log('internal error: cannot read the command line: denied'))).toMatchObject({ unknownCount: 1 });
  });

  it("does not take the kernel's own complaints for failures of a guest", () => {
    const dmesg = [
      '[    0.000000] Command line: ro panic=1 mem_encrypt=on kvm_amd.sev=1',
      '[    0.000000] DMI not present or invalid.',
      'Nov 23 07:35:31 lab7 kernel: Performance Events: unsupported CPU family 6 model 167',
      '<4>[    0.401124] intel_pstate: CPU model not supported',
      '[    9.123456] ccp 0000:22:00.1: SEV API:1.55 build:29',
    ];
    expect(isExplained(diagnose(log(dmesg.join('\n'))))).toBe(true);
    const odd = '[    9.123456] ccp 0000:22:00.1: sev something new failed';
    expect(diagnose(log([...dmesg, odd].join('\n'))).unknown).toMatchObject([{ line: 6 }]);
    expect(diagnose(log('DMI not present or invalid.')).unknownCount).toBe(1);
  });

  it('may be empty: then nothing failed', () => {
    expect(isExplained(diagnose(log('')))).toBe(true);
    expect(formatDiagnosis(diagnose(log('')), plain)).toContain('Nothing in it reports a failure.');
  });

  it('never breaks the diagnosis, whatever it holds', () => {
    const words = fc.constantFrom(
      ...entries.map(({ example }) => example),
      'failed',
      '\0',
      '\u001b[2J',
      '{ret}',
      'fw_error=',
    );
    const anyText = fc.array(fc.oneof(words, fc.string()), { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(anyText, (text) => {
        const shown = formatDiagnosis(diagnose(log(text)), plain);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not come through.
        expect(shown).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      }),
      { numRuns: 1000 },
    );
  });

  it('may be long: one line of eight million characters, and a hundred thousand lines', () => {
    expect(diagnose(log('a failed '.repeat(1_000_000))).unknownCount).toBe(1);
    expect(diagnose(log('SEV: line that failed ret=-1\n'.repeat(100_000))).unknownCount).toBe(100_000);
  });
});

it('looks for people as it should', () => {
  const text = [
    "error: internal error: qemu unexpectedly closed the monitor: sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Bad measurement'",
    'ccp 0000:22:00.1: no command queues available',
    'something else failed',
  ].join('\n');
  expect(formatDiagnosis(diagnose(log(text)), plain)).toMatchInlineSnapshot(`
    "1 cause found, the surest first.

      cause  The firmware refused LAUNCH_START with code 11 ('Bad measurement'): the session was made for another platform key or another policy.
             do: Make a new session from this host's present PDH (sevctl export, attest session) with exactly the policy of the domain.
             beware: The ret of this line says nothing: QEMU's LAUNCH_START line prints 1 for every failure.
             qemu.log:1: error: internal error: qemu unexpectedly closed the monitor: sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Bad measurement'
             session-of-another-platform, likely; AMDSEV issues 62 and 70, sev-tool issue 40

      followed  QEMU ended before libvirt could talk to it; its own words follow.
             do: Read what follows, or /var/log/libvirt/qemu/NAME.log.
             qemu.log:1: error: internal error: qemu unexpectedly closed the monitor: sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Bad measurement'
             qemu-died; recorded with libvirt 9.0 and 11.3

      harmless  The part of ccp that is no SEV has nothing to do. This is normal.
             qemu.log:2: ccp 0000:22:00.1: no command queues available
             no-command-queues; Linux drivers/crypto/ccp/ccp-dev-v5.c

      unknown  the table does not know 1 line of failure:
               qemu.log:3: something else failed

      diagnosis table version 5; docs/diagnosis.md lists it
    "
  `);
});
