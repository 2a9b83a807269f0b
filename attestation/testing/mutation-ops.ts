import { concatBytes, fromBase64, fromHex, toBase64 } from '../../core/bytes.ts';

/** Bytes of a vector's files by role. */
export type Roles = ReadonlyMap<string, Uint8Array>;

/** One step of a recipe in the shared `mutations.json`; only byte and JSON operations, none that needs keys. */
export interface MutationOp {
  readonly op: string;
  readonly role?: string;
  readonly offset?: number;
  readonly length?: number;
  readonly hex?: string;
  readonly mask?: string;
  readonly from?: number;
  readonly to?: number;
  readonly a?: number | string;
  readonly b?: number | string;
  readonly start?: number;
  readonly end?: number;
  readonly step?: number;
  readonly key?: string;
  readonly path?: readonly string[];
  readonly value?: unknown;
  readonly delete?: boolean;
  readonly text?: string;
  readonly with?: { readonly vector: string; readonly role: string };
}

const P384_ORDER = BigInt(
  '0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
);

/** Every mutant that a recipe describes: one, or one per offset of a sweep. `lookup` finds files of other vectors. */
export function mutants(
  base: Roles,
  ops: readonly MutationOp[],
  lookup: (vector: string, role: string) => Uint8Array,
): Roles[] {
  let states: Map<string, Uint8Array>[] = [new Map(base)];
  for (const op of ops) states = states.flatMap((state) => applyOp(state, op, lookup));
  return states;
}

function applyOp(
  roles: Map<string, Uint8Array>,
  op: MutationOp,
  lookup: (vector: string, role: string) => Uint8Array,
): Map<string, Uint8Array>[] {
  const role = op.role ?? '';
  if (op.op === 'swap_roles') {
    const [a, b] = [String(op.a), String(op.b)];
    return [new Map(roles).set(a, file(roles, b)).set(b, file(roles, a))];
  }
  if (op.op === 'drop') {
    const rest = new Map(roles);
    rest.delete(role);
    return [rest];
  }
  if (op.op === 'replace') {
    if (op.with === undefined) throw new Error('replace without a source');
    return [new Map(roles).set(role, lookup(op.with.vector, op.with.role))];
  }
  if (op.op === 'xor_sweep') {
    const swept: Map<string, Uint8Array>[] = [];
    for (let offset = need(op.start); offset < need(op.end); offset += need(op.step)) {
      swept.push(new Map(roles).set(role, xor(file(roles, role), offset, hex(op.mask))));
    }
    return swept;
  }
  return [new Map(roles).set(role, applyToBytes(file(roles, role), op))];
}

function applyToBytes(bytes: Uint8Array, op: MutationOp): Uint8Array {
  const copy = Uint8Array.from(bytes);
  switch (op.op) {
    case 'xor':
      return xor(bytes, need(op.offset), hex(op.mask));
    case 'set':
      copy.set(hex(op.hex), need(op.offset));
      return copy;
    case 'truncate':
      return copy.slice(0, need(op.length));
    case 'append':
      return concatBytes(copy, hex(op.hex));
    case 'insert':
      return concatBytes(copy.subarray(0, need(op.offset)), hex(op.hex), copy.subarray(need(op.offset)));
    case 'copy':
      copy.copyWithin(need(op.to), need(op.from), need(op.from) + need(op.length));
      return copy;
    case 'swap_ranges': {
      const [a, b, length] = [need(op.a), need(op.b), need(op.length)];
      copy.set(bytes.subarray(b, b + length), a);
      copy.set(bytes.subarray(a, a + length), b);
      return copy;
    }
    case 'negate_s': {
      const field = copy.subarray(need(op.offset), need(op.offset) + 72);
      const s = BigInt(`0x${Buffer.from(Uint8Array.from(field).reverse()).toString('hex')}`);
      field.set(hex((P384_ORDER - s).toString(16).padStart(144, '0')).reverse());
      return copy;
    }
    case 'pem': {
      const lines = toBase64(bytes).match(/.{1,64}/g) ?? [];
      return Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`);
    }
    case 'der_reencode_len':
      // 30 82 hh ll becomes 30 83 00 hh ll.
      return concatBytes(Uint8Array.of(0x30, 0x83, 0), copy.subarray(2));
    default:
      return Buffer.from(JSON.stringify(applyToJson(JSON.parse(Buffer.from(bytes).toString('utf8')), op)));
  }
}

function applyToJson(document: Record<string, unknown>, op: MutationOp): Record<string, unknown> {
  const base64 = () => {
    const bytes = fromBase64(String(document[op.key ?? '']));
    if (bytes === undefined) throw new Error(`${op.key} is not base64`);
    return bytes;
  };
  const withBase64 = (bytes: Uint8Array) => ({ ...document, [op.key ?? '']: toBase64(bytes) });
  switch (op.op) {
    case 'json': {
      const [name, ...deeper] = op.path ?? [];
      if (name === undefined || deeper.length > 0) throw new Error('only top-level JSON values are changed here');
      const { [name]: _, ...rest } = document;
      return op.delete === true ? rest : { ...document, [name]: op.value };
    }
    case 'json_b64_xor':
      return withBase64(xor(base64(), need(op.offset), hex(op.mask)));
    case 'json_b64_truncate':
      return withBase64(base64().slice(0, need(op.length)));
    case 'json_b64_append':
      return withBase64(concatBytes(base64(), hex(op.hex)));
    case 'json_text_insert': {
      const [text, at] = [String(document[op.key ?? '']), need(op.offset)];
      return { ...document, [op.key ?? '']: `${text.slice(0, at)}${op.text ?? ''}${text.slice(at)}` };
    }
    default:
      throw new Error(`unknown operation ${op.op}`);
  }
}

function xor(bytes: Uint8Array, offset: number, mask: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  mask.forEach((byte, index) => {
    copy[offset + index] = (copy[offset + index] ?? 0) ^ byte;
  });
  return copy;
}

function file(roles: Roles, role: string): Uint8Array {
  const bytes = roles.get(role);
  if (bytes === undefined) throw new Error(`the vector has no file with role ${role}`);
  return bytes;
}

function need(value: number | string | undefined): number {
  if (typeof value !== 'number') throw new Error(`expected a number in a mutation, got ${value}`);
  return value;
}

function hex(text: string | undefined): Uint8Array {
  const bytes = fromHex(text ?? '');
  if (bytes === undefined || bytes.length === 0) throw new Error(`expected hex in a mutation, got ${text}`);
  return bytes;
}
