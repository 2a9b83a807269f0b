import { describe, expect, it } from 'vitest';
import { BLOCKED, judgeBegin, whatCameOf } from './migration-blocker.ts';

const ASKED = {
  code: 55,
  text: 'Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented',
};
/** libvirt 8.0.0 of Ubuntu 22.04. */
const NOT_ASKED = {
  code: 1,
  text: "internal error: unable to execute QEMU command 'migrate': SEV: Migration is not implemented",
};
const JAMMY = { libvirt: '8.0.0', qemu: '6.2.0' };
const BOOKWORM = { libvirt: '9.0.0', qemu: '7.2.22' };

describe('what takes memory out of QEMU', () => {
  it.each([
    ['libvirt, which asked QEMU', ASKED],
    ['QEMU itself', NOT_ASKED],
  ])('is blocked when it is refused for the reason of QEMU, by %s', (_, answer) => {
    expect(whatCameOf(answer)).toBe(BLOCKED);
  });

  it.each([
    ['another reason', { code: 38, text: 'Failed to create file: No space left on device' }],
    ['no reason', { code: 55, text: 'Requested operation is not valid: cannot migrate domain' }],
    ['what is accepted', { accepted: true } as const],
  ])('is not blocked by %s', (_, answer) => {
    expect(whatCameOf(answer)).not.toBe(BLOCKED);
  });
});

describe('a migration that', () => {
  const begun = { accepted: true } as const;

  it.each([
    ['libvirt 8.0.0', JAMMY],
    ['QEMU 5.2.0', { libvirt: '9.0.0', qemu: '5.2.0' }],
  ])(
    'begins with %s, which does not ask QEMU first, is not judged, and the reason names the version',
    (program, versions) => {
      expect(judgeBegin(begun, versions)).toEqual({
        because: expect.stringMatching(new RegExp(`with ${program}`, 'i')),
      });
    },
  );

  it('begins with newer ones is held against what they promise', () => {
    expect(judgeBegin(begun, BOOKWORM)).toEqual({ expected: ASKED, actual: begun });
  });

  it.each([
    ['newer ones', BOOKWORM],
    ['older ones, as where a distribution has the question too', JAMMY],
  ])('is refused by %s is held against it as well', (_, versions) => {
    expect(judgeBegin(ASKED, versions)).toEqual({ expected: ASKED, actual: ASKED });
    const other = { code: 38, text: 'unable to connect' };
    expect(judgeBegin(other, versions)).toEqual({ expected: ASKED, actual: other });
  });
});
