import { once } from 'node:events';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { isProcessAlive, startTicksOf } from './process.ts';

it('a process is alive until it ends, also when its parent never asks how it ended', async () => {
  // The shell becomes a program that knows nothing of the shell's child.
  const parent = execa('sh', ['-c', 'exec 3<&0; cat <&3 & echo $!; exec sleep 60'], { reject: false });
  try {
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const child = Number(`${line}`);
    const started = startTicksOf(child) ?? '';
    expect(isProcessAlive(child, started)).toBe(true);
    expect(isProcessAlive(child, `${started}0`)).toBe(false);
    parent.stdin.end();
    await expect.poll(() => isProcessAlive(child, started), { timeout: 20_000 }).toBe(false);
    expect(process.kill(child, 0)).toBe(true);
  } finally {
    parent.kill();
    await parent;
  }
});

it('no process has a pid beyond what the kernel gives out, or none', () => {
  expect(isProcessAlive(2 ** 22 + 1, '1')).toBe(false);
  expect(isProcessAlive(0, '')).toBe(false);
});
