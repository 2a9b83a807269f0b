import type { TypedParam, TypedValue } from './protocol/typed-params.ts';

/** VIR_TYPED_PARAM_STRING_OKAY: the client can take string values. libvirt's own client always says so. */
export const TYPED_PARAM_STRING_OKAY = 4;

export type TypedParamValue = TypedValue['value'];

/** Typed parameters by name. Without a prototype, because the names come from a peer. */
export function typedParamRecord(params: readonly TypedParam[]): Record<string, TypedParamValue> {
  const record: Record<string, TypedParamValue> = Object.create(null);
  for (const param of params) record[param.field] = param.value;
  return record;
}
