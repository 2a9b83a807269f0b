import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions, microcodeFloor, ovmfDate, versionNumbers } from './minimums.ts';
import * as parse from './parse.ts';

describe('cpuinfo', () => {
  it('gives the first processor and no other', () => {
    const text =
      'processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 23\nmodel\t\t: 49\nmodel name\t: AMD EPYC 7742\nstepping\t: 0\nmicrocode\t: 0x830107c\nflags\t\t: svm sev\n\nprocessor\t: 1\nvendor_id\t: Other\nflags\t\t: none\n';
    expect(parse.parseCpuInfo(text)).toEqual({
      vendor: 'AuthenticAMD',
      family: 23,
      model: 49,
      stepping: 0,
      brand: 'AMD EPYC 7742',
      microcode: 0x830107c,
      flags: ['svm', 'sev'],
    });
  });

  it('of another architecture is not understood', () => {
    expect(parse.parseCpuInfo('processor\t: 0\nCPU implementer\t: 0x41\n')).toBeUndefined();
  });

  it('without a microcode line has none', () => {
    expect(parse.parseCpuInfo('vendor_id\t: AuthenticAMD\n')?.microcode).toBeUndefined();
  });
});

describe('modprobe configuration', () => {
  it('keeps what concerns kvm_amd and ccp, in both spellings, over continued lines, and no comment', () => {
    const text =
      '# options kvm_amd sev=0\noptions kvm-amd \\\n sev=1\nblacklist ccp # old\noptions kvm ignore_msrs=1\nblacklist ccpx\n';
    expect(parse.parseModprobe('a.conf', text)).toEqual([
      { file: 'a.conf', line: 'options kvm-amd   sev=1' },
      { file: 'a.conf', line: 'blacklist ccp' },
    ]);
  });
});

describe('kernel log', () => {
  it('keeps lines about SEV without their times', () => {
    const text = [
      '[    0.000000] Linux version 6.1.0',
      '[    5.123456] ccp 0000:22:00.1: SEV: memory encryption not enabled by BIOS',
      '<6>[    5.2] kvm_amd: SEV enabled (ASIDs 1 - 15)',
      '[    5.3] usb 1-1: new device',
      '[    5.4] several devices',
    ].join('\n');
    expect(parse.parseKernelLog(text)).toEqual([
      'ccp 0000:22:00.1: SEV: memory encryption not enabled by BIOS',
      'kvm_amd: SEV enabled (ASIDs 1 - 15)',
    ]);
  });

  it('keeps no more lines than a report can bear', () => {
    expect(parse.parseKernelLog('ccp: noise\n'.repeat(10_000))).toHaveLength(60);
    const flood = 'AMD-Vi: Event logged [IO_PAGE_FAULT]\n'.repeat(500);
    const log = parse.parseKernelLog(`ccp: first\n${flood}ccp: failed to INIT\n${flood}kvm_amd: last\n`);
    expect(log.filter((line) => !line.startsWith('AMD-Vi'))).toEqual([
      'ccp: first',
      'ccp: failed to INIT',
      'kvm_amd: last',
    ]);
  });

  it.each([
    'ccp 0: SEV: failed to INIT error 0x3, rc -5',
    'ccp 0: SEV: INIT_EX failed 0x3, rc -5',
    'ccp 0: SEV API:1.55 build:7',
    'ccp 0: SEV: memory encryption not enabled by BIOS',
    'ccp 0: SEV: failed to get status. Error: 0x8003',
    'ccp 0: sev command 0x20 timed out, disabling PSP',
    'AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be supported.',
    'SEV-SNP: Memory for the RMP table has not been reserved by BIOS',
    'kvm_amd: SEV enabled (ASIDs 100 - 509)',
    'kvm: disabled by bios',
    'kvm: no hardware support',
  ])('keeps %j before many lines of guests and of the IOMMU', (line) => {
    const flood = [
      'kvm_amd: SEV-ES guest requested termination: 0x0:0x0\n'.repeat(70),
      'AMD-Vi: Event logged [IO_PAGE_FAULT]\n'.repeat(70),
    ];
    expect(parse.parseKernelLog([line, ...flood].join('\n'))[0]).toBe(line);
  });
});

describe('firmware descriptors', () => {
  it('of flash and of memory name their image', () => {
    const flash = { mapping: { executable: { filename: '/a.fd' } }, features: ['amd-sev', 7] };
    expect(parse.parseFirmwareDescriptor('a', JSON.stringify(flash))).toEqual({
      file: 'a',
      executable: '/a.fd',
      features: ['amd-sev'],
    });
    const memory = { mapping: { device: 'memory', filename: '/b.fd' }, features: [] };
    expect(parse.parseFirmwareDescriptor('b', JSON.stringify(memory))?.executable).toBe('/b.fd');
  });

  it.each(['', '{', 'null', '7', '"text"'])('of %j are nothing', (text) => {
    expect(parse.parseFirmwareDescriptor('a', text)).toBeUndefined();
  });

  it('of any JSON at all never throw', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        parse.parseFirmwareDescriptor('a', text);
      }),
    );
  });
});

describe('other files', () => {
  it('misc.capacity', () => {
    expect(parse.parseFlatKeyed('sev 15\nsev_es 0\nbad line here\n')).toEqual({ sev: 15, sev_es: 0 });
  });

  it('limits of a process', () => {
    const text =
      'Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         8388608              unlimited            bytes     \n';
    expect(parse.parseMemoryLockLimit(text)).toBe('8388608');
    expect(parse.parseMemoryLockLimit('')).toBeUndefined();
  });

  it('versions of packages: of dpkg and rpm, and only of those that are installed', () => {
    expect(parse.parsePackageLines('ovmf 2022.11-6\nedk2-ovmf \n')).toEqual({ ovmf: '2022.11-6' });
    const status = 'Package: a\nVersion: 1\n\nPackage: ovmf\nStatus: x\nVersion: 2022.11-6\n';
    expect(parse.parseDpkgStatus(status, ['ovmf'])).toEqual({ ovmf: '2022.11-6' });
  });

  it('security models of libvirt', () => {
    const xml =
      '<secmodel>\n<model>apparmor</model></secmodel><secmodel><model>dac</model></secmodel><cpu><model>EPYC</model></cpu>';
    expect(parse.parseSecurityModels(xml)).toEqual(['apparmor', 'dac']);
  });
});

describe('versions', () => {
  it.each([
    ['6.1.0-56-amd64', [6, 1, 0]],
    ['4.16', [4, 16, 0]],
    ['3.14.2-80.el8', [3, 14, 2]],
  ])('%s', (text, numbers) => {
    expect(versionNumbers(text)).toEqual(numbers);
  });

  it('of no numbers is nothing', () => {
    expect(versionNumbers('unknown')).toBeUndefined();
  });

  it('compare like numbers, not like texts', () => {
    const version = fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99));
    const weight = ([a, b, c]: readonly [number, number, number]) => a * 10_000 + b * 100 + c;
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(Math.sign(compareVersions(a, b))).toBe(Math.sign(weight(a) - weight(b)));
      }),
    );
  });

  it.each([
    ['2022.11-6+deb12u2', '2022-11'],
    ['20231122-6.el9', '2023-11-22'],
    ['202402-150600.1', '2024-02'],
    ['0~20180205.c0d9813c-2', '2018-02-05'],
    ['1.0', undefined],
  ])('the date of OVMF %s is %s', (version, date) => {
    expect(ovmfDate(version)).toBe(date);
  });

  it('microcode has the floor of its own silicon line', () => {
    expect(microcodeFloor(0x0a0011d9)?.line).toBe('Milan');
    expect(microcodeFloor(0x0a001244)?.line).toBe('Milan-X');
    expect(microcodeFloor(0x08001250)).toBeUndefined();
  });
});
