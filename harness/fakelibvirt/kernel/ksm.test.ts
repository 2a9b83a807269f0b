import { beforeEach, describe, expect, test } from 'vitest';
import { Ksm } from './ksm.ts';

const page = (text: string) => Buffer.alloc(4096, text);
const faults = { idle: false, on: false };
let memory: Map<number, Uint8Array[]>;
let ksm: Ksm;

beforeEach(() => {
  Object.assign(faults, { idle: false, on: false });
  memory = new Map([
    [10, [page('equal'), page('also equal'), page('ten')]],
    [20, [page('equal'), page('also equal'), page('twenty')]],
    [30, [page('thirty')]],
  ]);
  ksm = new Ksm(() => [...memory].map(([pid, pages]) => ({ pid, pages: () => pages })), {
    isIdle: () => faults.idle,
    staysOn: () => faults.on,
  });
});

const number = (name: string) => Number(ksm.file(`/sys/kernel/mm/ksm/${name}`));
const merging = (pid: number) => ksm.file(`/proc/${pid}/ksm_merging_pages`);

describe('Ksm', () => {
  test('does nothing until it is switched on', () => {
    expect([number('run'), number('full_scans'), number('pages_shared')]).toEqual([0, 0, 0]);
    expect(merging(10)).toBe('0\n');
  });

  test('merges pages of equal bytes, and counts each kept page once and each further place', () => {
    expect(ksm.set('run', 1)).toBe(true);
    expect(number('full_scans')).toBe(1);
    expect([merging(10), merging(20), merging(30)]).toEqual(['2\n', '2\n', '0\n']);
    expect([number('pages_shared'), number('pages_sharing')]).toEqual([2, 2]);
  });

  test('sees what changed at the next scan', () => {
    ksm.set('run', 1);
    number('full_scans');
    memory.delete(20);
    expect(number('full_scans')).toBe(2);
    expect([merging(10), merging(20)]).toEqual(['0\n', undefined]);
  });

  test('0 keeps what is merged, 2 takes it apart', () => {
    ksm.set('run', 1);
    number('full_scans');
    ksm.set('run', 0);
    expect([number('full_scans'), merging(10)]).toEqual([1, '2\n']);
    ksm.set('run', 2);
    expect([number('run'), merging(10), number('pages_shared')]).toEqual([2, '0\n', 0]);
  });

  test.each([
    ['run', 3],
    ['run', -1],
    ['run', 0.5],
    ['full_scans', 1],
    ['pages_shared', 1],
    ['toString', 1],
  ])('refuses %s = %d', (name, value) => {
    expect(ksm.set(name, value)).toBe(false);
  });

  test('has no other files', () => {
    expect(ksm.file('/sys/kernel/mm/ksm/toString')).toBeUndefined();
    expect(ksm.file('/proc/10/maps')).toBeUndefined();
    expect(ksm.file('/proc/99/ksm_merging_pages')).toBeUndefined();
  });

  test('merges nothing where it is idle, and stays on where it cannot be switched off', () => {
    faults.idle = true;
    ksm.set('run', 1);
    expect([number('full_scans'), merging(10)]).toEqual([1, '0\n']);
    faults.on = true;
    expect(ksm.set('run', 0)).toBe(true);
    expect(number('run')).toBe(1);
  });
});
