import { errorText } from '../../../core/errors.ts';
import type { Domain } from '../../libvirt/index.ts';
import { guestError } from '../errors.ts';
import { type GuestEvent, type GuestEventName, type GuestEventOf, parseConsoleLine } from './events.ts';

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

interface Waiter {
  readonly check: () => void;
  readonly fail: (error: unknown) => void;
}

/** What a guest prints on its first serial port, from the moment of `follow` on, as text and as the agent's events. */
export class GuestConsole implements AsyncDisposable {
  readonly #guest: string;
  readonly #events: GuestEvent[] = [];
  readonly #waiters = new Set<Waiter>();
  #text = '';
  #line = '';
  #ended: unknown;
  #close: () => Promise<void> = async () => {};

  private constructor(guest: string) {
    this.#guest = guest;
  }

  /**
   * Opens the console of a guest and follows it in the background. Follow a guest that is still paused: what was printed
   * before is lost on a real host.
   */
  static async follow(guest: { readonly name: string; readonly domain: Domain }): Promise<GuestConsole> {
    const console = new GuestConsole(guest.name);
    const stream = await guest.domain.openConsole();
    const decoder = new TextDecoder();
    const pumping = (async () => {
      try {
        for await (const chunk of stream) console.#print(decoder.decode(chunk, { stream: true }));
        console.#end(undefined);
      } catch (error) {
        console.#end(error);
      }
    })();
    console.#close = async () => {
      await stream.close();
      await pumping;
    };
    return console;
  }

  get text(): string {
    return this.#text;
  }

  get events(): readonly GuestEvent[] {
    return this.#events;
  }

  /** Events of one name that were printed so far. */
  all<N extends GuestEventName>(name: N): GuestEventOf<N>[] {
    return this.#events.filter((event): event is GuestEventOf<N> => event.event === name);
  }

  /**
   * The first event of this name, printed already or to come.
   *
   * Throws `GUEST_CONSOLE_TIMEOUT` and `GUEST_CONSOLE_ENDED` with what was printed last, `CONSOLE_LINE_MALFORMED`, and the
   * signal's reason.
   */
  waitFor<N extends GuestEventName>(name: N, { timeoutMs, signal }: WaitOptions): Promise<GuestEventOf<N>> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        check: () => {
          const found = this.#events.find((event): event is GuestEventOf<N> => event.event === name);
          if (found !== undefined) done(() => resolve(found));
          else if (this.#ended !== undefined) done(() => reject(this.#ended));
        },
        fail: (error) => done(() => reject(error)),
      };
      const onAbort = () => waiter.fail(signal?.reason);
      const timer = setTimeout(() => {
        const what = `guest ${this.#guest} did not report '${name}' within ${timeoutMs / 1000} s`;
        waiter.fail(guestError('GUEST_CONSOLE_TIMEOUT', `${what}; ${this.#lastSeen()}`));
      }, timeoutMs);
      const done = (settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        settle();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      if (signal?.aborted) onAbort();
      else waiter.check();
    });
  }

  /** Types a line, as the agent reads its requests. */
  async close(): Promise<void> {
    await this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #print(text: string): void {
    this.#text += text;
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop() ?? '';
    try {
      for (const line of lines) {
        const event = parseConsoleLine(line);
        if (event !== undefined) this.#events.push(event);
      }
    } catch (error) {
      this.#ended ??= error;
    }
    this.#wake();
  }

  #end(error: unknown): void {
    const why = error === undefined ? '' : ` (${errorText(error)})`;
    this.#ended ??= guestError(
      'GUEST_CONSOLE_ENDED',
      `the console of guest ${this.#guest} ended${why}; ${this.#lastSeen()}`,
      { cause: error },
    );
    this.#wake();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  #lastSeen(): string {
    const last = this.#text
      .split('\n')
      .map((line) => line.trim())
      .findLast((line) => line !== '');
    return last === undefined ? 'it printed nothing' : `it printed last: ${last.slice(0, 200)}`;
  }
}
