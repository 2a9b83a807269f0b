import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const folder = path.join(shared, 'recordings');

interface RecordedError {
  readonly code: number;
  readonly domain: number;
  readonly message: string;
}

/** Every error that a recording holds, wherever it stands in it. */
function errorsIn(value: unknown): RecordedError[] {
  if (typeof value !== 'object' || value === null) return [];
  const { code, domain, message } = value as Partial<RecordedError>;
  const own =
    typeof code === 'number' && typeof domain === 'number' && typeof message === 'string'
      ? [{ code, domain, message }]
      : [];
  return [...own, ...Object.values(value).flatMap(errorsIn)];
}

describe('every error that real libvirt daemons gave', () => {
  const errors = new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => errorsIn(JSON.parse(readFileSync(path.join(folder, name), 'utf8'))))
      .map((error) => [error.message.replace(/\d+/g, '1').slice(0, 200), error]),
  );

  it('is there to be diagnosed', () => {
    expect(errors.size).toBeGreaterThan(20);
  });

  it.each([...errors])('has a cause: %j', (_, { code, domain, message }) => {
    const { findings, unknown } = diagnose([{ name: 'libvirt', text: message, libvirt: { code, domain } }]);
    expect(findings[0]?.kind).toBe('cause');
    expect(findings[0]?.cause).not.toMatch(/[{}?]/);
    expect(unknown).toEqual([]);
  });
});

describe('every message about SEV in the binary of QEMU 7.2', () => {
  /** Names, titles of options, and a message that is the end of a longer one. */
  const NO_FAILURE = ['SEV device to use'];
  const values: Readonly<Record<string, string>> = { '%s': 'x', '%d': '-5', '%x': '5', '%zu': '16', '%lu': '12' };
  const messages = readFileSync(path.join(folder, 'qemu-7.2-sev-strings.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.includes(' ') && !NO_FAILURE.includes(line))
    .map((line) => line.replace('open %s', 'open /dev/sev').replace(/(?<=fw_err(?:or)?=)%d/, '2'))
    .map((line) => line.replace(/%(?:s|d|x|zu|lu)/g, (place) => values[place] ?? place).replaceAll("'-5'", "'51'"));

  it.each([...new Set(messages)])('is known: %s', (message) => {
    const { findings, unknown } = diagnose([{ name: 'qemu.log', text: message }]);
    expect(findings.map(({ kind }) => kind)).toContain('cause');
    expect(unknown).toEqual([]);
  });
});
