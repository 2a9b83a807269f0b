import { fromHex } from '../../core/bytes.ts';
import type { AmdCaCertificate } from '../certs/amd-ca.ts';
import type { SevCertificate, SignatureSlot } from '../certs/sev-certificate.ts';
import type { ChainRowId } from '../verify/chain-rules.ts';
import type { PssSettings } from './signing.ts';

type Slots = SevCertificate['slots'];

/** What the forger can be told to do wrong. Certificates are edited before they are signed, slots after. */
export interface DefectKnobs {
  readonly arkExponent?: number;
  readonly ark?: Partial<AmdCaCertificate>;
  readonly ask?: Partial<AmdCaCertificate>;
  readonly arkSignedByOther?: boolean;
  readonly askSignedByOther?: boolean;
  readonly cekSignedByOther?: boolean;
  readonly arkPss?: PssSettings;
  readonly askPss?: PssSettings;
  readonly cekPss?: PssSettings;
  readonly cek?: Partial<SevCertificate>;
  readonly oca?: Partial<SevCertificate>;
  readonly pek?: Partial<SevCertificate>;
  readonly pdh?: Partial<SevCertificate>;
  readonly ocaSignedByOther?: boolean;
  readonly pekSignedByOtherOca?: boolean;
  readonly pekSignedByOtherCek?: boolean;
  readonly pdhSignedByOther?: boolean;
  readonly cekSlots?: (slots: Slots) => Slots;
  readonly ocaSlots?: (slots: Slots) => Slots;
  readonly pekSlots?: (slots: Slots) => Slots;
  readonly pdhSlots?: (slots: Slots) => Slots;
  readonly foreignRoot?: boolean;
  readonly deniedChip?: boolean;
}

export interface Defect {
  /** The one row that must not pass; rows that depend on it are skipped, all others are as without the defect. */
  readonly row: ChainRowId;
  readonly outcome: 'failed' | 'incomplete';
  readonly knobs: DefectKnobs;
}

const ZERO = new Uint8Array(48);
const ORDER =
  fromHex('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973') ?? ZERO;
const OFF_CURVE = { x: Uint8Array.of(...ZERO.subarray(1), 1), y: Uint8Array.of(...ZERO.subarray(1), 1) };
const UNSIGNED: Slots = [undefined, undefined];

const withNumbers = (numbers: { r?: Uint8Array; s?: Uint8Array }) => (slots: Slots) =>
  mapFirst(slots, (slot) => ('field' in slot ? slot : { ...slot, ...numbers }));

function mapFirst([first, second]: Slots, edit: (slot: SignatureSlot) => SignatureSlot): Slots {
  return [first === undefined ? undefined : edit(first), second];
}

const SHA256_SALT = { hash: 'sha256', saltLength: 32 } as const;

const failing = (row: ChainRowId, knobs: DefectKnobs): Defect => ({ row, outcome: 'failed', knobs });

/** Every way in which a forged platform can be wrong, and the row that must say so. */
export const PLATFORM_DEFECTS = {
  'ark-usage-ask': failing('chain.ark-well-formed', { ark: { usage: 'ASK' } }),
  'ark-exponent-3': failing('chain.ark-well-formed', { arkExponent: 3 }),
  'foreign-root': failing('chain.ark-pinned', { foreignRoot: true }),
  'wrong-ark-self-signature': failing('chain.ark-self-signed', { arkSignedByOther: true }),
  'ark-signature-without-salt': failing('chain.ark-self-signed', { arkPss: { ...SHA256_SALT, saltLength: 0 } }),
  'ask-usage-ark': failing('chain.ask-well-formed', { ask: { usage: 'ARK' } }),
  'ask-of-another-ark-by-id': failing('chain.ca-ids-consistent', { ask: { certifyingId: new Uint8Array(16) } }),
  'ark-certified-by-another-id': failing('chain.ca-ids-consistent', { ark: { certifyingId: new Uint8Array(16) } }),
  'wrong-ask-signature': failing('chain.ask-signed-by-ark', { askSignedByOther: true }),
  'ask-signature-salt-20': failing('chain.ask-signed-by-ark', { askPss: { ...SHA256_SALT, saltLength: 20 } }),
  'ask-signature-pkcs1': failing('chain.ask-signed-by-ark', { askPss: { padding: 'pkcs1', hash: 'sha256' } }),
  'cek-usage-pek': failing('chain.cek-well-formed', { cek: { usage: 'PEK' } }),
  'cek-off-curve': failing('chain.cek-well-formed', { cek: { publicKey: OFF_CURVE } }),
  'cek-extracted': failing('chain.cek-not-revoked', { deniedChip: true }),
  'cek-unsigned': { row: 'chain.cek-signed-by-ask', outcome: 'incomplete', knobs: { cekSlots: () => UNSIGNED } },
  'cek-signed-by-wrong-ask': failing('chain.cek-signed-by-ask', { cekSignedByOther: true }),
  'cek-signature-sha384': failing('chain.cek-signed-by-ask', { cekPss: { hash: 'sha384', saltLength: 48 } }),
  'cek-signature-algorithm-of-other-size': failing('chain.cek-signed-by-ask', {
    cekSlots: (slots) => mapFirst(slots, (slot) => ('field' in slot ? { ...slot, algorithm: 'RSA-PSS-SHA384' } : slot)),
  }),
  'cek-signature-tail': failing('chain.cek-signed-by-ask', {
    cekSlots: (slots) =>
      mapFirst(slots, (slot) =>
        'field' in slot ? { ...slot, field: Uint8Array.of(1, ...slot.field.subarray(1)) } : slot,
      ),
  }),
  'oca-algorithm-ecdh': failing('chain.oca-well-formed', { oca: { algorithm: 'ECDH-SHA256' } }),
  'oca-not-self-signed': failing('chain.oca-self-signed', { ocaSignedByOther: true }),
  'oca-unsigned': failing('chain.oca-self-signed', { ocaSlots: () => UNSIGNED }),
  'pek-usage-pdh': failing('chain.pek-well-formed', { pek: { usage: 'PDH' } }),
  'pek-two-oca-signatures': failing('chain.pek-well-formed', { pekSlots: ([first]) => [first, first] }),
  'pek-signed-by-wrong-oca': failing('chain.pek-signed-by-oca', { pekSignedByOtherOca: true }),
  'pek-without-oca-signature': failing('chain.pek-signed-by-oca', { pekSlots: ([, second]) => [undefined, second] }),
  'pek-signed-by-wrong-cek': failing('chain.pek-signed-by-cek', { pekSignedByOtherCek: true }),
  'pek-without-cek-signature': failing('chain.pek-signed-by-cek', { pekSlots: ([first]) => [first, undefined] }),
  'pdh-usage-pek': failing('chain.pdh-well-formed', { pdh: { usage: 'PEK' } }),
  'pdh-algorithm-ecdsa': failing('chain.pdh-well-formed', { pdh: { algorithm: 'ECDSA-SHA256' } }),
  'pdh-off-curve': failing('chain.pdh-well-formed', { pdh: { publicKey: OFF_CURVE } }),
  'pdh-point-zero': failing('chain.pdh-well-formed', { pdh: { publicKey: { x: ZERO, y: ZERO } } }),
  'pdh-foreign-signer': failing('chain.pdh-well-formed', {
    pdhSlots: ([first]) => [first, first && { ...first, signer: 'CEK' }],
  }),
  'pdh-unsigned': failing('chain.pdh-signed-by-pek', { pdhSlots: () => UNSIGNED }),
  'pdh-signed-by-wrong-pek': failing('chain.pdh-signed-by-pek', { pdhSignedByOther: true }),
  'pdh-signature-sha384': failing('chain.pdh-signed-by-pek', {
    pdhSlots: (slots) => mapFirst(slots, (slot) => ('field' in slot ? slot : { ...slot, algorithm: 'ECDSA-SHA384' })),
  }),
  'pdh-signature-r-zero': failing('chain.pdh-signed-by-pek', { pdhSlots: withNumbers({ r: ZERO }) }),
  'pdh-signature-s-zero': failing('chain.pdh-signed-by-pek', { pdhSlots: withNumbers({ s: ZERO }) }),
  'pdh-signature-r-is-n': failing('chain.pdh-signed-by-pek', { pdhSlots: withNumbers({ r: ORDER }) }),
  'pdh-signature-s-is-n': failing('chain.pdh-signed-by-pek', { pdhSlots: withNumbers({ s: ORDER }) }),
} as const satisfies Readonly<Record<string, Defect>>;

export type PlatformDefect = keyof typeof PLATFORM_DEFECTS;
