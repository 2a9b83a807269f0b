import type { CheckObservation } from '../fixtures/recorder.ts';
import type { HostAnswer } from '../host/answer.ts';
import { findTooOld } from '../host/preflight/minimums.ts';

/** Why QEMU lets the memory of an encrypted guest go nowhere (target/i386/sev.c). */
const REASON = 'SEV: Migration is not implemented';
/** How libvirt refuses what it has asked QEMU about. */
export const MIGRATION_REFUSED = {
  code: 55,
  text: `Requested operation is not valid: cannot migrate domain: ${REASON}`,
};
/**
 * First versions where libvirt asks before it begins: QEMU_CAPS_MIGRATION_BLOCKED_REASONS, and `blocked-reasons` of
 * query-migrate. Before, a migration begins, and QEMU refuses when the memory is to go.
 */
const FIRST_ASKED = { libvirt: '8.6.0', qemu: '6.0.0' } as const;

type Judged = Pick<CheckObservation, 'expected' | 'actual'>;

/** A check on what would save the memory: a libvirt that does not ask leaves the refusal, and its code, to QEMU. */
export function judgeSave(answer: HostAnswer, versions: Readonly<Record<string, string>>): Judged {
  const isForReason = 'text' in answer && answer.text.includes(REASON);
  const expected = isForReason && findTooOld(versions, FIRST_ASKED) !== undefined ? answer : MIGRATION_REFUSED;
  return { expected, actual: answer };
}

/** A check on the beginning of a migration, or why it cannot be made: a libvirt that does not ask promises no refusal here. */
export function judgeBegin(
  answer: HostAnswer,
  versions: Readonly<Record<string, string>>,
): Judged | { readonly because: string } {
  const old = 'accepted' in answer ? findTooOld(versions, FIRST_ASKED) : undefined;
  if (old === undefined) return { expected: MIGRATION_REFUSED, actual: answer };
  return {
    because: `a migration begins here: with ${old.name} ${old.found} libvirt does not ask QEMU what blocks it (since ${old.first}), and QEMU refuses only when the memory is to go`,
  };
}
