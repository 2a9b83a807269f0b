import type { XdrReader } from '../xdr/reader.ts';
import type { XdrWriter } from '../xdr/writer.ts';

/** libvirt's `virTypedParameter` (libvirt-common.h): a named value with its C type. */
export type TypedParam = { readonly field: string } & TypedValue;

export type TypedValue =
  | { readonly type: 'int' | 'uint' | 'double'; readonly value: number }
  | { readonly type: 'llong' | 'ullong'; readonly value: bigint }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string };

/** Wire numbers of VIR_TYPED_PARAM_*. */
const WIRE_TYPE = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 } as const;

const STRING_MAX = 4194304;

export function readTypedParam(reader: XdrReader): TypedParam {
  const field = reader.string(STRING_MAX);
  const wireType = reader.int();
  switch (wireType) {
    case WIRE_TYPE.int:
      return { field, type: 'int', value: reader.int() };
    case WIRE_TYPE.uint:
      return { field, type: 'uint', value: reader.uint() };
    case WIRE_TYPE.llong:
      return { field, type: 'llong', value: reader.hyper() };
    case WIRE_TYPE.ullong:
      return { field, type: 'ullong', value: reader.uhyper() };
    case WIRE_TYPE.double:
      return { field, type: 'double', value: reader.double() };
    case WIRE_TYPE.boolean:
      // libvirt carries it as a C int: any value but 0 is true.
      return { field, type: 'boolean', value: reader.int() !== 0 };
    case WIRE_TYPE.string:
      return { field, type: 'string', value: reader.string(STRING_MAX) };
    default:
      throw reader.malformed(`typed parameter '${field}' of unknown type ${wireType}`);
  }
}

export function writeTypedParam(writer: XdrWriter, param: TypedParam): void {
  writer.string(param.field, STRING_MAX);
  writer.int(WIRE_TYPE[param.type]);
  switch (param.type) {
    case 'int':
      writer.int(param.value);
      break;
    case 'uint':
      writer.uint(param.value);
      break;
    case 'llong':
      writer.hyper(param.value);
      break;
    case 'ullong':
      writer.uhyper(param.value);
      break;
    case 'double':
      writer.double(param.value);
      break;
    case 'boolean':
      writer.int(param.value ? 1 : 0);
      break;
    case 'string':
      writer.string(param.value, STRING_MAX);
      break;
  }
}
