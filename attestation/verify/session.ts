import { createHmac, timingSafeEqual } from 'node:crypto';
import { isSevHarnessError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { parseLaunchSessionBlob } from '../abi/launch-session.ts';
import type { Tik } from '../brands.ts';
import { assertOnCurve } from '../certs/p384.ts';
import { formatSevPolicy, parseSevPolicy } from '../policy/sev.ts';
import { type AttestationResult, attestationResult, type Check } from '../result.ts';
import { littleEndian32 } from '../session/kdf.ts';
import { parseGuestOwnerCertificate } from '../session/launch-session.ts';

export interface SessionEvidence {
  /** Session blob, 128 bytes: libvirt's `<session>`. */
  readonly session: Uint8Array;
  /** Guest owner certificate, 2084 bytes: libvirt's `<dhCert>`. */
  readonly godh?: Uint8Array | undefined;
  /** The owner's key; only with it can the policy be verified. */
  readonly tik?: Secret<Tik> | undefined;
  /** The policy that the guest is verified against. */
  readonly policy: number;
}

type SessionRowId = 'session.blob-well-formed' | 'session.godh-well-formed' | 'session.policy-bound';

const TITLES: Readonly<Record<SessionRowId, string>> = {
  'session.blob-well-formed': 'the session is 128 bytes long',
  'session.godh-well-formed': "the guest owner's certificate is one that the firmware takes",
  'session.policy-bound': 'the session was made for this policy, with this TIK',
};

const SPEC: Readonly<Record<SessionRowId, string>> = {
  'session.blob-well-formed': 'SEV API 55766 rev 3.24, section 6.2',
  'session.godh-well-formed': 'SEV API 55766 rev 3.24, section 6.2',
  'session.policy-bound': 'SEV API 55766 rev 3.24, section 2.3',
};

/**
 * Does a launch session belong to this TIK and this policy?
 *
 * The wrapped keys cannot be verified again: that needs the owner's ephemeral key, which is gone, or the platform's PDH.
 * The measurement shows that the firmware got this TIK. SEV API 55766 rev 3.24, section 2.3.
 */
export function verifySession(evidence: SessionEvidence): AttestationResult {
  const { row: blobRow, value: blob } = decide('session.blob-well-formed', () =>
    parseLaunchSessionBlob(evidence.session),
  );
  const rows = [blobRow, checkGodh(evidence.godh)];
  if (blob === undefined) {
    rows.push(row('session.policy-bound', { outcome: 'skipped', because: 'session.blob-well-formed is failed' }));
  } else {
    rows.push(checkPolicy(blob.policyMac, evidence));
  }
  return attestationResult(rows);
}

function checkGodh(godh: Uint8Array | undefined): Check {
  const id = 'session.godh-well-formed';
  if (godh === undefined) return row(id, { outcome: 'skipped', because: "no guest owner's certificate was given" });
  return decide(id, () => assertOnCurve(parseGuestOwnerCertificate(godh).publicKey, 'guest owner certificate')).row;
}

function checkPolicy(policyMac: Uint8Array, { tik, policy }: SessionEvidence): Check {
  const id = 'session.policy-bound';
  if (tik === undefined) {
    return row(id, {
      outcome: 'incomplete',
      because: 'no TIK was given, and the policy is bound with it',
      hint: 'Give the TIK that was made with the launch session (NAME_tik.bin).',
    });
  }
  const computed = createHmac('sha256', tik.reveal()).update(littleEndian32(policy)).digest();
  const expected = formatSevPolicy(parseSevPolicy(policy));
  if (timingSafeEqual(computed, policyMac)) return row(id, { outcome: 'passed', expected });
  return row(id, {
    outcome: 'failed',
    expected,
    because: "the session's policy MAC is not the one of this policy under this TIK",
    hint: 'Give the policy that the session was made for; if the host chose another one, do not trust the guest.',
  });
}

/** A row that passes unless its parser refuses. */
function decide<T>(id: SessionRowId, parse: () => T): { row: Check; value: T | undefined } {
  try {
    return { value: parse(), row: row(id, { outcome: 'passed' }) };
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { value: undefined, row: row(id, { outcome: 'failed', because: error.message, ...hint }) };
  }
}

function row(id: SessionRowId, rest: Omit<Check, 'id' | 'title' | 'spec'>): Check {
  return { id, title: TITLES[id], ...rest, spec: SPEC[id] };
}
