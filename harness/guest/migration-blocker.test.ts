import { describe, expect, it } from 'vitest';
import { judgeBegin, judgeSave } from './migration-blocker.ts';

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

describe('a save', () => {
  const isHeld = (...[answer, versions]: Parameters<typeof judgeSave>) => {
    const { expected, actual } = judgeSave(answer, versions);
    expect(actual).toBe(answer);
    return JSON.stringify(expected) === JSON.stringify(actual);
  };

  it('is refused by a libvirt that asks QEMU first with its own code, and by an older one for the same reason', () => {
    expect([isHeld(ASKED, BOOKWORM), isHeld(NOT_ASKED, BOOKWORM)]).toEqual([true, false]);
    // Distributions have given older ones the question.
    expect([isHeld(ASKED, JAMMY), isHeld(NOT_ASKED, JAMMY)]).toEqual([true, true]);
  });

  it.each([
    ['for another reason', { code: 38, text: 'Failed to create file: No space left on device' }],
    ['for none', { code: 55, text: 'Requested operation is not valid: cannot migrate domain' }],
    ['not at all', { accepted: true } as const],
  ])('that is refused %s breaks the promise with any version', (_, answer) => {
    expect([isHeld(answer, BOOKWORM), isHeld(answer, JAMMY)]).toEqual([false, false]);
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
