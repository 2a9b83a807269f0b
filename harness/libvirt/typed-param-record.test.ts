import { expect, it } from 'vitest';
import { typedParamRecord } from './typed-param-record.ts';

it('typed parameters become a record by name, whatever the names are', () => {
  const record = typedParamRecord([
    { field: 'cbitpos', type: 'uint', value: 47 },
    { field: '__proto__', type: 'string', value: 'a peer chose this name' },
    { field: 'constructor', type: 'boolean', value: true },
  ]);
  expect(Object.entries(record)).toEqual([
    ['cbitpos', 47],
    ['__proto__', 'a peer chose this name'],
    ['constructor', true],
  ]);
  expect(record.toString).toBeUndefined();
});
