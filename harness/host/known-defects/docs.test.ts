import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { KNOWN_DEFECTS } from './catalogue.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/known-defects.md'), 'utf8');

it('docs/known-defects.md lists every defect as the code has it, and no other', () => {
  const table = page.split('\n').filter((line) => line.startsWith('| `'));
  expect(table).toEqual(
    KNOWN_DEFECTS.map(
      ({ id, names, breaks, detection }) =>
        `| \`${id}\` | ${names} | ${breaks} | ${detection === 'none' ? 'cannot be seen from outside' : detection} |`,
    ),
  );
});
