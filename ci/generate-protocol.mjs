#!/usr/bin/env node
// Turns harness/libvirt/protocol/libvirt.protocol into libvirt.gen.ts. With --check it only compares, and fails on a difference.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {{ name: string, type: string }} Field */
/** @typedef {{ kind: 'proc' | 'event', number: number, wireName: string, key: string, api: string, args: Field[], ret: Field[], stream: string | undefined }} Procedure */
/** @typedef {{ name: string, id: string, version: number, procedures: Procedure[] }} Program */

const folder = fileURLToPath(new URL('../harness/libvirt/protocol/', import.meta.url));
const target = path.join(folder, 'libvirt.gen.ts');

const SCALARS = {
  int: { ts: 'number', method: 'int' },
  uint: { ts: 'number', method: 'uint' },
  hyper: { ts: 'bigint', method: 'hyper' },
  uhyper: { ts: 'bigint', method: 'uhyper' },
  double: { ts: 'number', method: 'double' },
};

/** @param {string} wireName */
function camel(wireName) {
  return wireName.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

/** @param {string} text @returns {Field[]} */
function fields(text) {
  return text
    .trim()
    .split(/\s+/)
    .filter((part) => part !== '')
    .map((part) => {
      const [name, type, ...rest] = part.split(':');
      if (!name || !type || rest.length > 0) throw new Error(`not a field: '${part}'`);
      return { name, type };
    });
}

/** @param {string} type @returns {string} */
function tsType(type) {
  const scalar = SCALARS[/** @type {keyof typeof SCALARS} */ (type)];
  if (scalar) return scalar.ts;
  if (type === 'string' || type === 'uuid' || /^chars[[<]/.test(type)) return 'string';
  if (type.startsWith('opaque<')) return 'Uint8Array';
  if (type.endsWith('?')) return `${tsType(type.slice(0, -1))} | null`;
  const list = /^(\w+)<(\d+)>$/.exec(type);
  return list?.[1] ? `readonly ${tsType(list[1])}[]` : type;
}

/** @param {string} type @param {'read' | 'write'} way @param {string} value @returns {string} an expression */
function codec(type, way, value) {
  const io = way === 'read' ? 'r' : 'w';
  const call = (/** @type {string} */ method, /** @type {string[]} */ ...more) =>
    `${io}.${method}(${(way === 'write' ? [value, ...more] : more).join(', ')})`;
  const each = (/** @type {string} */ element) =>
    way === 'read' ? `(r) => ${codec(element, way, '')}` : `(w, x) => ${codec(element, way, 'x')}`;
  const scalar = SCALARS[/** @type {keyof typeof SCALARS} */ (type)];
  if (scalar) return call(scalar.method);
  if (type === 'string') return call('string', 'STRING_MAX');
  if (type === 'uuid') return way === 'read' ? 'readUuid(r)' : `writeUuid(w, ${value})`;
  const sized = /^(chars|opaque)<(\d+)>$/.exec(type);
  if (sized?.[1] && sized[2]) return call(sized[1], sized[2]);
  const fixed = /^chars\[(\d+)\]$/.exec(type);
  if (fixed?.[1]) return call('fixedChars', fixed[1]);
  if (type.endsWith('?')) return call('optional', each(type.slice(0, -1)));
  const list = /^(\w+)<(\d+)>$/.exec(type);
  if (list?.[1] && list[2]) return call('list', list[2], each(list[1]));
  if (/^[A-Z]\w*$/.test(type)) return way === 'read' ? `read${type}(r)` : `write${type}(w, ${value})`;
  throw new Error(`unknown type '${type}'`);
}

/** @param {Field[]} list */
function tsShape(list) {
  return list.length === 0
    ? 'Record<never, never>'
    : `{ ${list.map((field) => `readonly ${field.name}: ${tsType(field.type)}`).join('; ')} }`;
}

/** @param {Field[]} list */
function codecPair(list) {
  const read = list.map((field) => `${field.name}: ${codec(field.type, 'read', '')}`).join(', ');
  const write = list.map((field) => `${codec(field.type, 'write', `v.${field.name}`)};`).join(' ');
  return list.length === 0 ? 'nothing' : `{ read: (r) => ({ ${read} }), write: (w, v) => { ${write} } }`;
}

/** @param {string} source */
function parse(source) {
  /** @type {Map<string, string>} */
  const constants = new Map();
  /** @type {{ name: string, fields: Field[] }[]} */
  const structs = [];
  /** @type {Program[]} */
  const programs = [];
  for (const [index, raw] of source.split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trim();
    if (line === '') continue;
    const word = line.split(/\s+/);
    const program = programs.at(-1);
    const procedure =
      /^(proc|event) (\d+) (\w+)(?: (\w+))? \(([^)]*)\)(?: -> \(([^)]*)\))?(?: stream (read|write))?$/.exec(line);
    try {
      if (word[0] === 'const' && word[1] && word[2]) constants.set(word[1], word[2]);
      else if (word[0] === 'struct' && word[1])
        structs.push({ name: word[1], fields: fields(word.slice(2).join(' ')) });
      else if (word[0] === 'program' && word[1] && word[2])
        programs.push({ name: word[1], id: word[2], version: Number(word[3]), procedures: [] });
      else if (procedure && program)
        program.procedures.push({
          kind: procedure[1] === 'proc' ? 'proc' : 'event',
          number: Number(procedure[2]),
          wireName: procedure[3] ?? '',
          key: camel(procedure[3] ?? ''),
          api: procedure[4] ?? '',
          args: fields(procedure[5] ?? ''),
          ret: fields(procedure[6] ?? ''),
          stream: procedure[7],
        });
      else throw new Error('not understood');
    } catch (error) {
      throw new Error(`libvirt.protocol line ${index + 1}: ${error instanceof Error ? error.message : error}: ${line}`);
    }
  }
  return { constants, structs, programs };
}

/** @param {string} source */
function apiFunctions(source) {
  return source
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => /** @type {[string, string]} */ (line.split(' ')));
}

function generate() {
  const { constants, structs, programs } = parse(readFileSync(path.join(folder, 'libvirt.protocol'), 'utf8'));
  const functions = apiFunctions(readFileSync(path.join(folder, 'api-functions.txt'), 'utf8'));
  const named = new Map(functions.map(([number, name]) => [Number(number), name]));
  const out = [
    '// Generated by ci/generate-protocol.mjs from libvirt.protocol and api-functions.txt. Do not edit.',
    "import type { XdrReader } from '../xdr/reader.ts';",
    "import type { XdrWriter } from '../xdr/writer.ts';",
    "import { type Codec, nothing, type Procedure, type PushedEvent } from './codec.ts';",
    "import { readTypedParam, type TypedParam, writeTypedParam } from './typed-params.ts';",
    "import { readUuid, writeUuid } from './uuid.ts';",
    '',
  ];
  for (const [name, value] of constants) out.push(`export const ${name} = ${value};`);
  out.push('');
  for (const struct of structs) {
    out.push(`export interface ${struct.name} ${tsShape(struct.fields)}`);
    const read = struct.fields.map((field) => `${field.name}: ${codec(field.type, 'read', '')}`).join(', ');
    const write = struct.fields.map((field) => `${codec(field.type, 'write', `v.${field.name}`)};`).join(' ');
    out.push(`export function read${struct.name}(r: XdrReader): ${struct.name} { return { ${read} }; }`);
    out.push(`export function write${struct.name}(w: XdrWriter, v: ${struct.name}): void { ${write} }`, '');
  }
  for (const program of programs) {
    const title = program.name[0]?.toUpperCase() + program.name.slice(1);
    const calls = program.procedures.filter((procedure) => procedure.kind === 'proc');
    const events = program.procedures.filter((procedure) => procedure.kind === 'event');
    out.push(`export const ${program.name}Program = { id: ${program.id}, version: ${program.version} } as const;`, '');
    out.push(`export interface ${title}Calls {`);
    for (const procedure of calls)
      out.push(`  ${procedure.key}: { args: ${tsShape(procedure.args)}; ret: ${tsShape(procedure.ret)} };`);
    out.push('}', '');
    out.push(
      `export const ${program.name}Procedures: { readonly [K in keyof ${title}Calls]: Procedure<${title}Calls[K]['args'], ${title}Calls[K]['ret']> } = {`,
    );
    for (const procedure of calls) {
      const known =
        program.name === 'remote' && !procedure.wireName.startsWith('AUTH_')
          ? named.get(procedure.number)
          : procedure.api;
      if (known !== procedure.api)
        throw new Error(
          `procedure ${procedure.number} is ${known} in api-functions.txt, ${procedure.api} in libvirt.protocol`,
        );
      const stream = procedure.stream === undefined ? 'undefined' : `'${procedure.stream}'`;
      out.push(
        `  ${procedure.key}: { program: ${program.name}Program, number: ${procedure.number}, wireName: '${procedure.wireName}', api: '${procedure.api}', stream: ${stream},`,
      );
      out.push(`    args: ${codecPair(procedure.args)},`, `    ret: ${codecPair(procedure.ret)} },`);
    }
    out.push('};', '');
    if (events.length === 0) continue;
    out.push(`export interface ${title}Events {`);
    for (const event of events) out.push(`  ${event.key}: ${tsShape(event.args)};`);
    out.push('}', '');
    out.push(
      `export const ${program.name}Events: { readonly [K in keyof ${title}Events]: PushedEvent<${title}Events[K]> } = {`,
    );
    for (const event of events)
      out.push(
        `  ${event.key}: { program: ${program.name}Program, number: ${event.number}, wireName: '${event.wireName}', fields: ${codecPair(event.args)} },`,
      );
    out.push('};', '');
  }
  out.push('/** Every procedure that a client of libvirt 9.0.0 may call, by number, with its public API function. */');
  out.push('export const apiFunctions: ReadonlyMap<number, string> = new Map([');
  for (const [number, name] of functions) out.push(`  [${number}, '${name}'],`);
  out.push(']);', '');
  return out.join('\n');
}

const generated = generate();
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== generated) {
    console.error(
      'harness/libvirt/protocol/libvirt.gen.ts differs from its description: run npm run generate:protocol',
    );
    process.exit(1);
  }
} else {
  writeFileSync(target, generated);
}
