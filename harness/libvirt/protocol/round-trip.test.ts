import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { type Codec, decodeValue, encodeValue } from './codec.ts';
import {
  emulatorProcedures,
  qemuEvents,
  qemuProcedures,
  readMessageError,
  readMessageHeader,
  remoteEvents,
  remoteProcedures,
  writeMessageError,
  writeMessageHeader,
} from './libvirt.gen.ts';

/** The values that each codec must carry, made from the description rather than from the code generated from it. */
const description = readFileSync(new URL('./libvirt.protocol', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => line.replace(/#.*/, '').trim());

const structs = new Map(
  description
    .filter((line) => line.startsWith('struct '))
    .map((line): [string, string] => {
      const [, name = '', ...fields] = line.split(/\s+/);
      return [name, fields.join(' ')];
    }),
);

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
/** A `char` array ends at its first NUL and has its last place for one. */
const cText = fc.string({ unit: 'grapheme-ascii', maxLength: 30 }).map((value) => value.replaceAll('\0', ''));
const int = fc.integer({ min: -0x80000000, max: 0x7fffffff });
const uint = fc.integer({ min: 0, max: 0xffffffff });
const hyper = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const uhyper = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

const typedParam = fc.oneof(
  fc.record({ field: text, type: fc.constant('int'), value: int }),
  fc.record({ field: text, type: fc.constant('uint'), value: uint }),
  fc.record({ field: text, type: fc.constant('llong'), value: hyper }),
  fc.record({ field: text, type: fc.constant('ullong'), value: uhyper }),
  fc.record({ field: text, type: fc.constant('double'), value: fc.double() }),
  fc.record({ field: text, type: fc.constant('boolean'), value: fc.boolean() }),
  fc.record({ field: text, type: fc.constant('string'), value: text }),
);

function arbitraryOf(type: string): fc.Arbitrary<unknown> {
  const scalars = {
    int,
    uint,
    hyper,
    uhyper,
    double: fc.double(),
    string: text,
    uuid: fc.uuid(),
    TypedParam: typedParam,
  };
  if (type in scalars) return scalars[type as keyof typeof scalars];
  if (type.startsWith('chars')) return cText;
  if (type.startsWith('opaque<')) return fc.uint8Array({ maxLength: 20 });
  if (type.endsWith('?')) return fc.option(arbitraryOf(type.slice(0, -1)));
  const list = /^(\w+)<\d+>$/.exec(type);
  if (list?.[1] !== undefined) return fc.array(arbitraryOf(list[1]), { maxLength: 4 });
  const struct = structs.get(type);
  if (struct === undefined) throw new Error(`the description has no type '${type}'`);
  return recordOf(struct);
}

function recordOf(fields: string): fc.Arbitrary<unknown> {
  const parts = fields.split(/\s+/).filter((part) => part !== '');
  return fc.record(
    Object.fromEntries(
      parts.map((part) => {
        const [name = '', type = ''] = part.split(':');
        return [name, arbitraryOf(type)];
      }),
    ),
    { noNullPrototype: true },
  );
}

type Case = { name: string; codec: Codec<unknown>; values: fc.Arbitrary<unknown> };

function cases(): Case[] {
  const procedures = Object.values({ ...remoteProcedures, ...qemuProcedures, ...emulatorProcedures });
  const events = Object.values({ ...remoteEvents, ...qemuEvents });
  const found: Case[] = [];
  for (const line of description) {
    const match = /^(?:proc|event) (\d+) (\w+)(?: \w+)? \(([^)]*)\)(?: -> \(([^)]*)\))?/.exec(line);
    if (match === null) continue;
    const [, , wireName = '', args = '', ret = ''] = match;
    const procedure = procedures.find((candidate) => candidate.wireName === wireName);
    const event = events.find((candidate) => candidate.wireName === wireName);
    if (procedure !== undefined) {
      found.push({ name: `${wireName} arguments`, codec: procedure.args as Codec<unknown>, values: recordOf(args) });
      found.push({ name: `${wireName} results`, codec: procedure.ret as Codec<unknown>, values: recordOf(ret) });
    } else if (event !== undefined) {
      found.push({ name: `${wireName} event`, codec: event.fields as Codec<unknown>, values: recordOf(args) });
    } else throw new Error(`no codec was generated for ${wireName}`);
  }
  const header = { read: readMessageHeader, write: writeMessageHeader } as Codec<unknown>;
  const error = { read: readMessageError, write: writeMessageError } as Codec<unknown>;
  found.push({ name: 'message header', codec: header, values: arbitraryOf('MessageHeader') });
  found.push({ name: 'message error', codec: error, values: arbitraryOf('MessageError') });
  return found;
}

const all = cases();

describe('every generated codec', () => {
  it('is covered here', () => {
    const procedures = [remoteProcedures, qemuProcedures, emulatorProcedures].flatMap((table) => Object.keys(table));
    const events = [remoteEvents, qemuEvents].flatMap((table) => Object.keys(table));
    expect(all).toHaveLength(procedures.length * 2 + events.length + 2);
  });

  it.each(all)('$name comes back as it was sent, in whole words', ({ codec, values }) => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeValue(codec, value);
        expect(bytes.length % 4).toBe(0);
        expect(decodeValue(codec, bytes)).toEqual(value);
      }),
      { numRuns: 40 },
    );
  });

  it.each(all)('$name of random or cut bytes is a value or XDR_MALFORMED', ({ codec, values }) => {
    const random = fc.uint8Array({ maxLength: 200 });
    const mutated = fc.tuple(values, fc.nat(), fc.nat(255), fc.nat()).map(([value, at, byte, end]) => {
      const bytes = encodeValue(codec, value);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes.subarray(0, end % (bytes.length + 1));
    });
    fc.assert(
      fc.property(fc.oneof(random, mutated), (bytes) => {
        try {
          decodeValue(codec, bytes);
        } catch (error) {
          if (!isSevHarnessError(error, 'XDR_MALFORMED')) throw error;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('refuses a byte more than its value', () => {
    const bytes = encodeValue(remoteProcedures.domainGetState.ret, { state: 1, reason: 1 });
    const longer = new Uint8Array([...bytes, 0, 0, 0, 0]);
    expect(() => decodeValue(remoteProcedures.domainGetState.ret, longer)).toThrow('4 bytes after the end');
  });
});
