import { expect, test } from 'vitest';
import { withoutControls } from './text.ts';

test('withoutControls leaves letters, line ends and tabs', () => {
  const screen =
    '\u001b[2J\u001b[01;01H\u001b[=3h\u001b[1mBdsDxe:\tfailed\u001b[0m\u0007\r\n\u009b[ 1.0] Linux\u007f\n';
  expect(withoutControls(screen)).toBe('BdsDxe:\tfailed\n[ 1.0] Linux\n');
});
