import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { equalBytes, fromBase64, fromHex, isAllZero, toBase64, toHex } from './bytes.ts';
import { CleanupStack } from './cleanup.ts';
import { systemClock, virtualClock } from './clock.ts';
import { errorFactory, isSevHarnessError } from './errors.ts';
import { Secret } from './secret.ts';

describe('fromBase64', () => {
  it('takes canonical base64', () => {
    expect(fromBase64('AAEC')).toEqual(new Uint8Array([0, 1, 2]));
    expect(fromBase64('')).toEqual(new Uint8Array());
  });

  it.each(['AAE', 'AA E=', 'AAEC\n', 'AAEC=', 'AB==', '-_8=', 'AAEC!', '===='])('refuses %j', (text) => {
    expect(fromBase64(text)).toBeUndefined();
  });
});

describe('hex', () => {
  it('round-trips and takes either case', () => {
    expect(toHex(fromHex('00fFaB') ?? new Uint8Array())).toBe('00ffab');
  });

  it.each(['0', '0x00', 'zz', ' 00'])('refuses %j', (text) => {
    expect(fromHex(text)).toBeUndefined();
  });
});

it('compares and inspects bytes', () => {
  expect(equalBytes(new Uint8Array([1]), new Uint8Array([1]))).toBe(true);
  expect(equalBytes(new Uint8Array([1]), new Uint8Array([1, 0]))).toBe(false);
  expect(isAllZero(new Uint8Array(16))).toBe(true);
  expect(isAllZero(new Uint8Array([0, 1]))).toBe(false);
  expect(toBase64(new Uint8Array([0, 1, 2]).subarray(1))).toBe('AQI=');
});

describe('Secret', () => {
  it('does not print, serialise or inspect its value', () => {
    const secret = new Secret('hunter2');
    const seen = [`${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret, { showHidden: true })];
    for (const text of seen) expect(text).not.toContain('hunter2');
    expect(secret.reveal()).toBe('hunter2');
  });
});

describe('CleanupStack', () => {
  it('undoes newest first, survives errors, and reports them in the order they happened', async () => {
    const done: string[] = [];
    const stack = new CleanupStack();
    stack.push('first', () => void done.push('first'));
    stack.push('second', () => Promise.reject(new Error('second failed')));
    const forget = stack.push('forgotten', () => void done.push('forgotten'));
    stack.push('third', () => {
      throw new Error('third failed');
    });
    forget();
    expect(stack.pending()).toEqual(['third', 'second', 'first']);
    const failures = await stack.run();
    expect(done).toEqual(['first']);
    expect(failures.map(({ what, error }) => `${what}: ${(error as Error).message}`)).toEqual([
      'third: third failed',
      'second: second failed',
    ]);
    expect(stack.size).toBe(0);
  });
});

describe('clocks', () => {
  it('moves virtual time without waiting', async () => {
    const clock = virtualClock(1000);
    await clock.sleep(3_600_000);
    expect(clock.nowMs()).toBe(3_601_000);
  });

  it('ends a real sleep when the signal aborts', async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(60_000, controller.signal);
    controller.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow('enough');
  });
});

it('raises errors of a catalogue with their kind, and serialises them whole', () => {
  const raise = errorFactory({ DISK_FULL: { kind: 'environment', summary: 'no space' } });
  const error = raise('DISK_FULL', 'no space on /', {
    hint: 'Free some.',
    details: { path: '/' },
    cause: new Error('ENOSPC'),
  });
  expect(isSevHarnessError(error, 'DISK_FULL')).toBe(true);
  expect(isSevHarnessError(error, 'OTHER')).toBe(false);
  expect(JSON.parse(JSON.stringify(error))).toEqual({
    code: 'DISK_FULL',
    kind: 'environment',
    message: 'no space on /',
    details: { path: '/' },
    hint: 'Free some.',
  });
});
