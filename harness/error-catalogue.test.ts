import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { attestationErrors } from '../attestation/errors.ts';
import type { ErrorCatalogue } from '../core/errors.ts';
import { reportErrors } from '../reports/errors.ts';
import { harnessErrors } from './errors.ts';
import { fakelibvirtErrors } from './fakelibvirt/errors.ts';
import { firmwareErrors } from './fakelibvirt/firmware/errors.ts';
import { memoryErrors } from './fakelibvirt/memory/errors.ts';
import { guestErrors } from './guest/errors.ts';
import { guestMemoryErrors } from './guest/memory/errors.ts';
import { libvirtErrors } from './libvirt/errors.ts';

const root = path.resolve(import.meta.dirname, '..');

const rooms: readonly { title: string; folder: string; catalogue: ErrorCatalogue }[] = [
  { title: 'Command line, hosts, guests, scenarios', folder: 'harness', catalogue: harnessErrors },
  { title: 'Guests that boot', folder: 'harness/guest', catalogue: guestErrors },
  { title: 'Reading guest memory', folder: 'harness/guest/memory', catalogue: guestMemoryErrors },
  { title: 'libvirt client', folder: 'harness/libvirt', catalogue: libvirtErrors },
  { title: 'Emulated host', folder: 'harness/fakelibvirt', catalogue: fakelibvirtErrors },
  { title: 'Emulated Secure Processor', folder: 'harness/fakelibvirt/firmware', catalogue: firmwareErrors },
  { title: 'Emulated memory', folder: 'harness/fakelibvirt/memory', catalogue: memoryErrors },
  { title: 'Attestation', folder: 'attestation', catalogue: attestationErrors },
  { title: 'Reports', folder: 'reports', catalogue: reportErrors },
];

function page(): string {
  const lines = [
    '# Errors',
    '',
    'Every error that sev-harness raises on purpose, by its stable code. The kind says whose fault it is and decides the exit code:',
    '`product` (the thing under test) 1, `environment` and `harness` 2, `usage` 3. This page is compared with the code in a test.',
  ];
  for (const { title, folder, catalogue } of rooms) {
    lines.push('', `## ${title} (\`${folder}/\`)`, '', '| Code | Kind | Meaning |', '| --- | --- | --- |');
    for (const [code, { kind, summary }] of Object.entries(catalogue).sort(([a], [b]) => (a < b ? -1 : 1)))
      lines.push(`| \`${code}\` | ${kind} | ${summary} |`);
  }
  return `${lines.join('\n')}\n`;
}

function sources(folder: string): string {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /(?<!\.test|\.gen)\.ts$/.test(entry.name) && entry.name !== 'errors.ts')
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
}

describe('the error catalogue', () => {
  it('is what docs/errors.md says, code by code', async () => {
    await expect(page()).toMatchFileSnapshot('../docs/errors.md');
  });

  it('names no code twice', () => {
    const codes = rooms.flatMap(({ catalogue }) => Object.keys(catalogue));
    expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
  });

  it.each(rooms)('lists only codes that $folder raises', ({ folder, catalogue }) => {
    const text = sources(folder);
    expect(Object.keys(catalogue).filter((code) => !text.includes(`'${code}'`))).toEqual([]);
  });
});
