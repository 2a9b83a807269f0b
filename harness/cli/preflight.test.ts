import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { preflightVerb } from './preflight.ts';

afterEach(() => vi.restoreAllMocks());

/** What the verb prints on stdout, and its exit code. */
async function run(options: Parameters<typeof preflightVerb>[0]): Promise<{ code: number; stdout: string }> {
  let stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  try {
    return { code: await preflightVerb(options), stdout };
  } finally {
    vi.restoreAllMocks();
  }
}

describe('preflight on the command line', () => {
  it.each([
    ['fake:naples', 0, 'usable'],
    ['fake:stale-capabilities', 1, 'unusable'],
  ])('of %s ends with %d', async (host, exitCode, verdict) => {
    const { code, stdout } = await run({ host, json: true });
    expect(code).toBe(exitCode);
    expect(JSON.parse(stdout)).toMatchObject({ host, verdict, conditions: { kernelParameter: 'yes' } });
  });

  it('prints the JSON that docs/preflight.md describes', async () => {
    const { stdout } = await run({ host: 'fake:stale-capabilities', nova: 'master', json: true });
    const printed = JSON.parse(stdout);
    expect(Object.keys(printed)).toEqual([
      'host',
      'nova',
      'verdict',
      'conditions',
      'diagnoses',
      'counts',
      'rows',
      'kernelLog',
    ]);
    expect(Object.keys(printed.conditions)).toEqual(['domainCapabilities', 'kernelParameter', 'sev']);
    const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/preflight.md'), 'utf8');
    const [, section = ''] = page.split('## JSON');
    const keys = [printed, printed.conditions, ...printed.diagnoses, ...printed.rows].flatMap(Object.keys);
    for (const key of new Set(keys)) expect(section).toContain(`\`${key}\``);
    for (const { way } of printed.diagnoses) expect(page).toContain(`| \`${way}\``);
  });

  it('says first what is wrong, then the tree, then the words of the kernel', async () => {
    const { stdout } = await run({ host: 'fake:sev-off-in-bios' });
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('fake:sev-off-in-bios is not usable for SEV (domain capabilities no, kernel parameter no)');
    expect(lines[1]).toMatch(/^ {2}bios: the kernel found memory encryption off/);
    expect(lines[2]).toMatch(/^ {4}hint: Set SMEE/);
    const hint =
      '          hint: Begin with the first row that failed: what is below it in the stack cannot work before.';
    expect(lines).toContain(hint);
    expect(lines).toContain('   SKIP         SEV is on in the kernel (bios.memory-encryption failed)');
    expect(lines).toContain('  ccp 0000:02:00.2: SEV: memory encryption not enabled by BIOS');
  });

  it('fails a host that is too old for the nova release', async () => {
    expect((await run({ host: 'fake:naples', nova: '2025.2' })).code).toBe(0);
    const { code, stdout } = await run({ host: 'fake:naples', nova: 'master', json: true });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      nova: 'master',
      diagnoses: [{ way: 'nova-requirement', row: 'nova.firmware' }],
    });
  });

  it('refuses a release that it does not know', async () => {
    await expect(preflightVerb({ host: 'fake:naples', nova: 'queens' })).rejects.toMatchObject({
      code: 'CLI_USAGE',
      hint: expect.stringContaining('train, ussuri'),
    });
  });

  it('a host that cannot be reached is an error of the environment', async () => {
    await expect(preflightVerb({ host: 'qemu+unix:///system?socket=/nonexistent/sock' })).rejects.toMatchObject({
      kind: 'environment',
    });
  });
});
