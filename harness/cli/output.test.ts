import { expect, it } from 'vitest';
import { formatColumns } from './output.ts';

it('formatColumns: every column begins at one place, and no line ends in blanks', () => {
  expect(
    formatColumns([
      ['ksm', 'no needs', 'equal pages'],
      ['kernel-hashes', 'needs sev, kernel-hashes', 'boots'],
    ]),
  ).toBe('ksm            no needs                  equal pages\nkernel-hashes  needs sev, kernel-hashes  boots\n');
});
