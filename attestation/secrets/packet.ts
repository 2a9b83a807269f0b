import { timingSafeEqual } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import { encodeSecretHeader, parseSecretHeader, type SecretHeader, secretHeaderFlags } from '../abi/secret-header.ts';
import type { LaunchMeasurement, Tek, Tik } from '../brands.ts';
import { type RandomSource, randomBytes } from '../certs/p384.ts';
import { attestationError } from '../errors.ts';
import { aes128Ctr, hmacSha256 } from '../session/blob.ts';
import { littleEndian32 } from '../session/kdf.ts';
import { MAX_SECRET_TABLE_LENGTH } from './table.ts';

const BLOCK = 16;
const MEASUREMENT_LENGTH = 32;

/** First byte under the MAC, which keeps LAUNCH_SECRET's apart from LAUNCH_MEASURE's (0x04). */
const MAC_CONTEXT = 0x01;

export interface SecretKeys {
  readonly tik: Secret<Tik>;
  readonly tek: Secret<Tek>;
  /** The guest's launch measurement, 32 bytes: the packet opens in this launch only. */
  readonly measurement: LaunchMeasurement;
}

export interface LaunchSecretPacket {
  /** 52 bytes: libvirt's `sev-secret-header`, QEMU's `packet-header`. */
  readonly header: Uint8Array;
  /** As long as the plain text: libvirt's `sev-secret`, QEMU's `secret`. */
  readonly payload: Uint8Array;
}

/**
 * Encrypts a table of secrets for one measured guest.
 *
 * The IV comes from `random` and must never repeat under one TEK. Throws `SECRET_INPUT_INVALID` when the plain text is
 * not a non-empty multiple of 16 bytes up to 16 KiB, `RANDOM_SOURCE_BROKEN`. SEV API 55766 rev 3.24 (API 0.17 and
 * later), section 6.6.
 */
export function sealLaunchSecret(
  plaintext: Secret<Uint8Array>,
  keys: SecretKeys,
  random: RandomSource,
): LaunchSecretPacket {
  const problem = lengthProblem(plaintext.reveal().length);
  if (problem !== undefined) throw attestationError('SECRET_INPUT_INVALID', `launch secret: ${problem}`);
  const iv = randomBytes(random, BLOCK);
  const payload = aes128Ctr(keys.tek.reveal(), iv, plaintext.reveal());
  const mac = computeMac({ compressed: false, iv }, payload, keys);
  return { header: encodeSecretHeader({ compressed: false, iv, mac }), payload };
}

/**
 * Decrypts a launch secret packet, in the firmware's order: lengths, MAC, compressed flag, decryption.
 *
 * Throws `SECRET_HEADER_MALFORMED`, `SECRET_PAYLOAD_INVALID`, `SECRET_MAC_MISMATCH`, `SECRET_COMPRESSED`. No MAC covers
 * the TEK: a wrong one gives garbage, which `parseSecretTable` refuses.
 */
export function openLaunchSecret(packet: LaunchSecretPacket, keys: SecretKeys): Secret<Uint8Array> {
  const header = parseSecretHeader(packet.header);
  const payload = Uint8Array.from(packet.payload);
  const problem = lengthProblem(payload.length);
  if (problem !== undefined) throw attestationError('SECRET_PAYLOAD_INVALID', `launch secret payload: ${problem}`);
  if (!timingSafeEqual(computeMac(header, payload, keys), header.mac)) {
    throw attestationError(
      'SECRET_MAC_MISMATCH',
      'launch secret packet: its MAC does not fit this TIK, this launch measurement and these bytes',
      { hint: 'The packet is bound to one launch: make it from the measurement of the guest that gets it.' },
    );
  }
  if (header.compressed) {
    throw attestationError(
      'SECRET_COMPRESSED',
      'launch secret packet: flag COMPRESSED is set, which no firmware supports',
    );
  }
  return new Secret(aes128Ctr(keys.tek.reveal(), header.iv, payload));
}

function computeMac(header: Omit<SecretHeader, 'mac'>, payload: Uint8Array, keys: SecretKeys): Uint8Array {
  if (keys.measurement.length !== MEASUREMENT_LENGTH) {
    throw attestationError(
      'SECRET_INPUT_INVALID',
      `launch secret: expected the ${MEASUREMENT_LENGTH} bytes of the measurement without its nonce, got ${keys.measurement.length}`,
    );
  }
  const length = littleEndian32(payload.length);
  return hmacSha256(
    keys.tik.reveal(),
    concatBytes(
      Uint8Array.of(MAC_CONTEXT),
      littleEndian32(secretHeaderFlags(header)),
      header.iv,
      // GUEST_LENGTH, then TRANS_LENGTH: without compression they are equal.
      length,
      length,
      payload,
      keys.measurement,
    ),
  );
}

function lengthProblem(length: number): string | undefined {
  if (length > 0 && length % BLOCK === 0 && length <= MAX_SECRET_TABLE_LENGTH) return undefined;
  return `expected 16 to ${MAX_SECRET_TABLE_LENGTH} bytes in whole blocks of ${BLOCK}, got ${length}`;
}
