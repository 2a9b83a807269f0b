import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import { CLEAN } from '../conformance/testing/domains.ts';
import { startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect } from '../libvirt/index.ts';
import { exitCodeOf } from './output.ts';
import { runProgram } from './program.ts';

const BAD = CLEAN.replace('    <locked/>\n', '<!-- why? -->\n').replace('>47<', '>46<');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-lint-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

function file(name: string, content: string | Uint8Array): string {
  const at = path.join(folder, name);
  writeFileSync(at, content);
  return at;
}

/** Runs the verb in this process, as the command line would. */
async function lint(...words: string[]) {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += text;
      return true;
    });
  try {
    return { code: await runProgram(['lint-domain', ...words]), ...written, error: undefined };
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    return { code: exitCodeOf(error), ...written, error };
  } finally {
    vi.restoreAllMocks();
  }
}

const VALUES = ['--cbitpos', '47', '--reduced-phys-bits', '1'];

describe('lint-domain', () => {
  it('ends with 0 for a clean guest, and says what it compared', async () => {
    const { code, stdout } = await lint(file('clean.xml', CLEAN), ...VALUES);
    expect(stdout).toMatch(/clean\.xml: clean \(profile modern, host values compared with the flags\)\n$/);
    expect(code).toBe(0);
  });

  it('takes the values of the host in hexadecimal too', async () => {
    const at = file('clean.xml', CLEAN);
    expect((await lint(at, '--cbitpos', '0x2F', '--reduced-phys-bits', '0x1')).stdout).toContain(
      'clean (profile modern',
    );
    const { stdout, code } = await lint(at, '--cbitpos', '0x33', '--reduced-phys-bits', '1');
    expect(stdout).toContain("<cbitpos> is '47', but the host's is 51");
    expect(code).toBe(1);
  });

  it('ends with 1 for a broken rule, and shows place, change and sentence', async () => {
    const at = file('bad.xml', BAD);
    const { code, stdout } = await lint(at, ...VALUES, '--profile', 'train');
    expect(code).toBe(1);
    expect(stdout.replace(folder, '')).toMatchInlineSnapshot(`
      "/bad.xml: 2 errors (profile train, host values compared with the flags)

        error   MEMORY-NOT-LOCKED  /domain/memoryBacking at 4:3
                memory may be swapped or moved: there is no <locked/>
                change: <memoryBacking><locked/></memoryBacking>
                nova specification: "The <locked/> element is present in the <memoryBacking> section of the domain’s XML"; libvirt article: "the VM memory needs to be pinned in physical RAM which will be handled by QEMU"

        error   CBITPOS-MISMATCH  /domain/launchSecurity/cbitpos at 26:5
                <cbitpos> is '46', but the host's is 47
                change: <cbitpos>47</cbitpos>
                nova specification: "cbitpos and reducedPhysBits are dependent on the processor family, and can be obtained through the sev element from the domain capabilities"
      "
    `);
  });

  it('ends with 0 when there are warnings only', async () => {
    const { code, stdout } = await lint(file('warn.xml', CLEAN.replace('<acpi/>', '<acpi/><vmcoreinfo/>')), ...VALUES);
    expect(stdout).toContain('1 warning');
    expect(code).toBe(0);
  });

  it('prints exactly the promised JSON', async () => {
    const { code, stdout } = await lint(file('bad.xml', BAD), '--json', ...VALUES);
    const parsed = JSON.parse(stdout);
    expect(Object.keys(parsed)).toEqual(['findings']);
    expect(parsed.findings.map(Object.keys)).toEqual(
      Array(2).fill(['rule', 'severity', 'location', 'message', 'source']),
    );
    expect(code).toBe(1);
  });

  it('reads the values of the host when they are not given', async () => {
    const { stdout, code } = await lint(file('bad.xml', BAD), '--host', 'fake:milan');
    expect(stdout).toContain("<cbitpos> is '46', but the host's is 51");
    expect(code).toBe(1);
  });

  it('says when the host has no values to compare', async () => {
    const { stderr, stdout } = await lint(file('clean.xml', CLEAN), '--host', 'fake:no-sev');
    expect(stderr).toContain('fake:no-sev offers no SEV');
    expect(stdout).toContain('host values not compared');
  });

  it('lints a domain that is defined on the host, and writes its mended XML to stdout', async () => {
    const host = await startEmulatedHost({ profile: 'naples', faults: [] });
    try {
      const connection = await connect(host.uri);
      const { name } = await connection.defineDomain(BAD);
      await connection.close();
      const found = await lint('--host', host.uri, '--domain', name);
      expect(found.stdout).toMatch(/^domain guest: 2 errors/);
      const fixed = await lint('--host', host.uri, '--domain', name, '--fix');
      expect(fixed.stdout).toMatch(/^<domain/);
      expect(fixed.stdout).toContain('<cbitpos>47</cbitpos>');
      expect(fixed.stderr).toContain('domain guest: changed for 2 errors');
      expect(fixed.code).toBe(0);
      const unknown = await lint('--host', host.uri, '--domain', 'other');
      expect(unknown.error).toMatchObject({ code: 'CLI_USAGE', hint: 'It has: guest.' });
    } finally {
      await host.close();
    }
  });
});

describe('--fix', () => {
  it('replaces the file at once, keeps its mode and a link to it, and leaves no other file', async () => {
    const inside = mkdtempSync(path.join(folder, 'fix-'));
    const real = path.join(inside, 'real.xml');
    writeFileSync(real, BAD);
    chmodSync(real, 0o640);
    const link = path.join(inside, 'link.xml');
    symlinkSync(real, link);
    const { code, stderr } = await lint(link, '--fix', ...VALUES);
    expect(stderr).toContain('changed for 2 errors');
    expect(code).toBe(0);
    expect(readFileSync(real, 'utf8')).toContain('<!-- why? -->\n');
    expect(readFileSync(real, 'utf8')).toContain('<cbitpos>47</cbitpos>');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(real).mode & 0o777).toBe(0o640);
    expect(readdirSync(inside).sort()).toEqual(['link.xml', 'real.xml']);
  });

  it('says each change, and before it what q35 means for IDE disks', async () => {
    const pc = CLEAN.replace('pc-q35-7.2', 'pc')
      .replace("model='virtio-scsi'", "model='virtio-non-transitional'")
      .replace('    <locked/>\n', '')
      .replace(
        '  </devices>',
        "<disk device='cdrom'><target dev='hda' bus='ide'/></disk><controller type='ide' index='0'/></devices>",
      );
    const at = file('pc.xml', pc);
    const found = await lint(at, ...VALUES);
    expect(found.stdout).toContain("change: machine='q35'; it has no IDE, so move 'hda' to bus='sata' as 'sdb'");
    const { stderr } = await lint(at, '--fix', ...VALUES);
    expect(stderr.split('\n').slice(1, -1)).toEqual([
      '  /domain/memoryBacking: nothing → <locked/>  (MEMORY-NOT-LOCKED)',
      '  /domain/os/type/@machine: pc → q35  (MACHINE-NOT-Q35)',
      '  /domain/devices/disk[2]/target/@dev: hda → sdb  (IDE-ON-Q35)',
      '  /domain/devices/disk[2]/target/@bus: ide → sata  (IDE-ON-Q35)',
      "  /domain/devices/controller[2]: <controller type='ide' index='0'/> → nothing  (IDE-ON-Q35)",
    ]);
    const { stdout } = await lint(file('pc.xml', pc), '--fix', '--json', ...VALUES);
    expect(JSON.parse(stdout)).toEqual({
      findings: [],
      changes: expect.arrayContaining([
        { rule: 'MEMORY-NOT-LOCKED', place: '/domain/memoryBacking', to: '<locked/>' },
        { rule: 'IDE-ON-Q35', place: '/domain/devices/disk[2]/target/@bus', from: 'ide', to: 'sata' },
      ]),
    });
  });

  it('leaves a file alone that has nothing to change', async () => {
    const at = file('clean.xml', CLEAN);
    const before = statSync(at);
    const { stderr } = await lint(at, '--fix', ...VALUES);
    expect(stderr).toContain('nothing to change');
    expect(statSync(at).ino).toBe(before.ino);
  });

  it('ends with 1 when something is left for people', async () => {
    const at = file('hostdev.xml', CLEAN.replace('  </devices>', "<hostdev type='pci'/></devices>"));
    expect((await lint(at, '--fix', ...VALUES)).code).toBe(1);
  });

  it('ends with 2 where it cannot write, and the file is as it was', async () => {
    const { code, error } = await lint('/proc/self/status', '--fix', ...VALUES);
    expect([code, error?.code]).toEqual([3, 'DOMAIN_XML_MALFORMED']);
    const gone = path.join(mkdtempSync(path.join(folder, 'gone-')), 'x.xml');
    const { replaceFile } = await import('./text-file.ts');
    expect(() => replaceFile(gone, 'x')).toThrow(expect.objectContaining({ code: 'OUTPUT_UNWRITABLE' }));
  });
});

describe('bad input is one clear line and exit code 3', () => {
  it.each<[string, () => string[], string, RegExp]>([
    ['no file', () => [], 'CLI_USAGE', /name a file/],
    ['file and domain', () => ['x.xml', '--domain', 'y', '--host', 'fake:naples'], 'CLI_USAGE', /not both/],
    ['a domain without host', () => ['--domain', 'y'], 'CLI_USAGE', /--domain needs --host/],
    ['half of the values', () => [file('clean.xml', CLEAN), '--cbitpos', '47'], 'CLI_USAGE', /belong together/],
    ['a host that is none', () => [file('clean.xml', CLEAN), '--host', 'lab7'], 'HOST_FORM', /'lab7' is not a host/],
    ['JSON and XML on one output', () => ['-', '--fix', '--json'], 'CLI_USAGE', /both write/],
    [
      'no such file',
      () => [path.join(folder, 'nope.xml')],
      'INPUT_UNREADABLE',
      /nope\.xml: ENOENT: no such file or directory$/,
    ],
    ['a folder', () => [folder], 'INPUT_UNREADABLE', /it is a folder|EISDIR/],
    [
      'a file that is no text',
      () => [file('binary', new Uint8Array([0xff, 0xfe, 0x3c, 0]))],
      'DOMAIN_XML_MALFORMED',
      /not UTF-8/,
    ],
    ['a network', () => [file('network.xml', '<network/>')], 'DOMAIN_XML_OTHER_ROOT', /network\.xml: .*<network>/],
  ])('%s', async (_, words, code, text) => {
    const result = await lint(...words());
    expect(result.error?.code).toBe(code);
    expect(result.error?.message).toMatch(text);
    expect(result.error?.message).not.toContain('\n');
    expect([result.code, result.stdout]).toEqual([3, '']);
  });

  it.each([
    [['--cbitpos', '64'], /0 to 63/],
    [['--cbitpos', '0x40'], /0 to 63/],
    [['--cbitpos', '2f'], /0 to 63/],
    [['--profile', 'stein'], /train, modern/],
  ])('%s', async (words, text) => {
    const result = await lint('x.xml', ...words);
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(text);
  });
});

it('reads standard input, and writes the mended XML to standard output', async () => {
  const main = path.resolve(import.meta.dirname, '../../dist/harness/cli/main.js');
  const result = await execa(process.execPath, [main, 'lint-domain', '-', '--fix', ...VALUES], {
    input: BAD,
    reject: false,
    stripFinalNewline: false,
    env: { NO_COLOR: '1', SEV_HARNESS_REBUILT: '1' },
  });
  expect(result.stderr).toMatch(
    /^standard input: changed for 2 errors\n(?: {2}\/domain\S+: .*\n){2}standard input: clean/,
  );
  expect(result.stdout).toMatch(/^<domain type='kvm'>[\s\S]*<cbitpos>47<\/cbitpos>[\s\S]*<\/domain>\n$/);
  expect(result.exitCode).toBe(0);
});
