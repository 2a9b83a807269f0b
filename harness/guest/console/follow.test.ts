import { describe, expect, it } from 'vitest';
import { libvirtError } from '../../libvirt/errors.ts';
import { type ConsoleSource, GuestConsole } from './follow.ts';

/** A console that prints what the test says, and remembers what is typed. */
class Terminal implements ConsoleSource {
  readonly typed: string[] = [];
  readonly #chunks: Uint8Array[] = [];
  #wake: () => void = () => {};
  #end: { error?: Error } | undefined;
  onWrite: (text: string) => void = () => {};

  print(...lines: string[]): void {
    for (const line of lines) this.#chunks.push(new TextEncoder().encode(`${line}\r\n`));
    this.#wake();
  }

  printBytes(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#wake();
  }

  end(error?: Error): void {
    this.#end = error === undefined ? {} : { error };
    this.#wake();
  }

  async write(text: string): Promise<void> {
    this.typed.push(text);
    this.onWrite(text);
  }

  async close(): Promise<void> {
    this.#end ??= {};
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#end?.error !== undefined) throw this.#end.error;
      else if (this.#end !== undefined) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

const PATIENCE = { timeoutMs: 20_000 };
const IDLE = 'SEVH {"event":"idle"}';
const SAMPLES = (value: number) => `SEVH {"event":"workload","name":"memory-latency","unit":"ns","samples":[${value}]}`;

async function follow() {
  const terminal = new Terminal();
  const console = await GuestConsole.follow({ name: 'g', domain: { openConsole: async () => terminal } });
  return { terminal, console };
}

describe('waiting for an event', () => {
  it('is over when it is printed, also in pieces, and at once when it was printed before', async () => {
    const { terminal, console } = await follow();
    const waiting = console.waitFor('idle', PATIENCE);
    const bytes = new TextEncoder().encode(`BdsDxe: starting ä\r\n${IDLE}\r\n`);
    for (const byte of bytes) terminal.printBytes(Uint8Array.of(byte));
    expect(await waiting).toEqual({ event: 'idle' });
    expect(await console.waitFor(['ready', 'idle'], PATIENCE)).toEqual({ event: 'idle' });
    expect(console.text).toBe(`BdsDxe: starting ä\r\n${IDLE}\r\n`);
    await console.close();
  });

  it('does not take a line for whole whose end is still to come', async () => {
    const { terminal, console } = await follow();
    terminal.printBytes(new TextEncoder().encode('SEVH {"event":"id'));
    const waiting = console.waitFor('idle', PATIENCE);
    terminal.print('le"}');
    expect(await waiting).toEqual({ event: 'idle' });
  });

  it('that is too long says what was waited for and what was printed last', async () => {
    const { terminal, console } = await follow();
    terminal.print(IDLE, '\u001b[1mstill here\u001b[0m');
    await console.waitFor('idle', PATIENCE);
    await expect(console.waitFor(['canary', 'problem'], { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'GUEST_CONSOLE_TIMEOUT',
      message: "guest g did not report 'canary' or 'problem' within 0.001 s; it printed last: still here",
    });
  });

  it('for a guest that prints nothing says what that can mean', async () => {
    const { console } = await follow();
    await expect(console.waitFor('ready', { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'GUEST_CONSOLE_TIMEOUT',
      message: expect.stringMatching(/; it printed nothing\. It printed nothing at all: it does not run/),
      hint: expect.stringContaining('console=ttyS0'),
    });
  });

  it('ends at once when the kernel panics, with the cause that was printed before', async () => {
    const { terminal, console } = await follow();
    const waiting = console.waitFor('ready', PATIENCE);
    terminal.print('[    1.5] Initramfs unpacking failed: invalid magic at start of compressed archive');
    terminal.print('[    2.4] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)');
    await expect(waiting).rejects.toMatchObject({
      code: 'GUEST_BOOT_FAILED',
      message:
        'guest g did not boot. The kernel cannot unpack the initramfs: it is cut off, damaged, or in a format that this kernel does not read. Its console says: [    1.5] Initramfs unpacking failed: invalid magic at start of compressed archive',
    });
  });

  it.each([
    [
      'in one piece',
      '[ 1.5] Failed to execute /init (error -13)\r\n[ 1.5] Kernel panic - not syncing: No working init found.\r\n',
      /^The first process of the initramfs is not executable/,
    ],
    [
      'by firmware that tried a kernel first',
      'BdsDxe: failed to load Boot0001 "x": Not Found\r\nBdsDxe: No bootable option or device was found.\r\n',
      /^The guest firmware could not load/,
    ],
    ['at a prompt, which ends no line', 'grub rescue> ', /^A boot loader on the disk waits/],
    [
      'in the middle of a line of the agent',
      'SEVH {"event":"cpu","ven[ 5.1] Kernel panic - not syncing: Fatal exception\r\n',
      /^The kernel of the guest gave up/,
    ],
  ])('ends at once when all is said %s', async (_, text, cause) => {
    const { terminal, console } = await follow();
    const waiting = console.waitFor('idle', PATIENCE);
    terminal.printBytes(new TextEncoder().encode(text));
    const error = await waiting.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'GUEST_BOOT_FAILED' });
    expect(String((error as Error).message).replace('guest g did not boot. ', '')).toMatch(cause);
  });

  it('of a guest that had booted says that it gave up later', async () => {
    const { terminal, console } = await follow();
    terminal.print(
      'SEVH {"event":"ready","kernel":"6.1","memoryKiB":1,"efi":true,"uptimeMs":1,"modules":[]}',
      '[ 9.5] Kernel panic - not syncing: Fatal exception',
    );
    await expect(console.waitFor('idle', PATIENCE)).rejects.toMatchObject({
      code: 'GUEST_BOOT_FAILED',
      message: expect.stringMatching(/^guest g gave up after it had booted\. The kernel of the guest gave up/),
    });
  });

  it('ends at once when the console ends', async () => {
    const { terminal, console } = await follow();
    terminal.print('GRUB loading.');
    const waiting = console.waitFor('ready', PATIENCE);
    terminal.end();
    await expect(waiting).rejects.toMatchObject({
      code: 'GUEST_CONSOLE_ENDED',
      message: 'the console of guest g ended; it printed last: GRUB loading.',
    });
    await expect(console.waitFor('ready', PATIENCE)).rejects.toMatchObject({ code: 'GUEST_CONSOLE_ENDED' });
  });

  it('of a guest that ends in silence says where to look, and nothing of how it boots', async () => {
    const { terminal, console } = await follow();
    terminal.print('\u001b[2J\u001b[01;01H');
    terminal.end();
    await expect(console.waitFor('ready', PATIENCE)).rejects.toMatchObject({
      code: 'GUEST_CONSOLE_ENDED',
      message: 'the console of guest g ended; it printed nothing',
      hint: expect.stringContaining('OOM killer'),
    });
  });

  it('is an error of the host, not of the guest, when libvirt is gone', async () => {
    const { terminal, console } = await follow();
    const lost = libvirtError('LIBVIRT_CONNECTION_LOST', 'libvirt closed the connection');
    terminal.end(lost);
    await expect(console.waitFor('ready', PATIENCE)).rejects.toBe(lost);
  });

  it('ends at once when the stream breaks, and keeps why', async () => {
    const { terminal, console } = await follow();
    const broken = new Error('host gone');
    terminal.end(broken);
    await expect(console.waitFor('ready', PATIENCE)).rejects.toMatchObject({
      code: 'GUEST_CONSOLE_ENDED',
      message: expect.stringContaining('ended (host gone); it printed nothing'),
      cause: broken,
    });
  });

  it('ends with the reason of the signal', async () => {
    const { console } = await follow();
    const abort = new AbortController();
    const waiting = console.waitFor('ready', { ...PATIENCE, signal: abort.signal });
    abort.abort(new Error('Ctrl-C'));
    await expect(waiting).rejects.toThrow('Ctrl-C');
    await expect(console.waitFor('ready', { ...PATIENCE, signal: abort.signal })).rejects.toThrow('Ctrl-C');
  });

  it('ends when a line of the agent cannot be read', async () => {
    const { terminal, console } = await follow();
    terminal.print('SEVH {"event":"ready"}');
    await expect(console.waitFor('idle', PATIENCE)).rejects.toMatchObject({ code: 'CONSOLE_LINE_MALFORMED' });
  });
});

it('a request waits for an answer that comes after it', async () => {
  const { terminal, console } = await follow();
  terminal.print(SAMPLES(1), IDLE);
  await console.waitFor('idle', PATIENCE);
  terminal.onWrite = () => terminal.print(SAMPLES(2));
  expect(await console.ask('workload memory-latency 1', ['workload', 'workload-failed'], PATIENCE)).toMatchObject({
    samples: [2],
  });
  expect(terminal.typed).toEqual(['workload memory-latency 1\n']);
  expect(console.all('workload').map(({ samples }) => samples)).toEqual([[1], [2]]);
});
