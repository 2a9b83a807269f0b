import { errorText, isSevHarnessError } from '../../../core/errors.ts';
import { guestError } from '../errors.ts';
import { diagnoseBoot, isEndOfBoot, printable } from './boot-diagnosis.ts';
import { type GuestEvent, type GuestEventName, type GuestEventOf, parseConsoleLine } from './events.ts';

/** A console as libvirt streams it. */
export interface ConsoleSource extends AsyncIterable<Uint8Array> {
  write(bytes: string): Promise<void>;
  close(): Promise<void>;
}

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

interface Waiter {
  readonly check: () => void;
  readonly fail: (error: unknown) => void;
}

/** What a runaway guest printed longer ago is forgotten. */
const TEXT_MAX = 1024 * 1024;
const SHOWN_MAX = 200;
const TAIL_MAX = 4000;
const ENDED_HINT =
  "Its QEMU ended or was killed: see libvirt's log of the guest on the host, and the kernel log there for the OOM killer.";

/** What a guest prints on its first serial port, from the moment of `follow` on, as text and as the agent's events. */
export class GuestConsole implements AsyncDisposable {
  readonly #guest: string;
  readonly #source: ConsoleSource;
  readonly #events: GuestEvent[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #pumping: Promise<void>;
  #text = '';
  #line = '';
  #failure: unknown;

  private constructor(guest: string, source: ConsoleSource) {
    this.#guest = guest;
    this.#source = source;
    this.#pumping = this.#pump();
  }

  /**
   * Opens the console of a guest and follows it in the background. Follow a guest that is still paused: on a real host
   * what was printed before is lost.
   */
  static async follow(guest: {
    readonly name: string;
    readonly domain: { openConsole(): Promise<ConsoleSource> };
  }): Promise<GuestConsole> {
    return new GuestConsole(guest.name, await guest.domain.openConsole());
  }

  /** At most the last MiB. */
  get text(): string {
    return this.#text;
  }

  get events(): readonly GuestEvent[] {
    return this.#events;
  }

  /** Events of one name that were printed so far. */
  all<N extends GuestEventName>(name: N): GuestEventOf<N>[] {
    return this.#events.filter(isNamed([name]));
  }

  /**
   * The first event of one of these names, printed already or to come.
   *
   * Throws `GUEST_CONSOLE_TIMEOUT` and `GUEST_CONSOLE_ENDED` with what was printed last, `GUEST_BOOT_FAILED` as soon as the
   * console shows that nothing will come any more, `LIBVIRT_CONNECTION_LOST`, `CONSOLE_LINE_MALFORMED`, and the signal's reason.
   */
  waitFor<N extends GuestEventName>(names: N | readonly N[], options: WaitOptions): Promise<GuestEventOf<N>> {
    return this.#waitFrom(0, listOf(names), options);
  }

  /** Types a line for the agent and waits for the first event of these names that is printed after it; throws as `waitFor`. */
  async ask<N extends GuestEventName>(
    line: string,
    names: N | readonly N[],
    options: WaitOptions,
  ): Promise<GuestEventOf<N>> {
    const from = this.#events.length;
    await this.#source.write(`${line}\n`);
    return this.#waitFrom(from, listOf(names), options);
  }

  /** Stops following; the guest prints on. */
  async close(): Promise<void> {
    await this.#source.close();
    await this.#pumping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #waitFrom<N extends GuestEventName>(from: number, names: readonly N[], { timeoutMs, signal }: WaitOptions) {
    return new Promise<GuestEventOf<N>>((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        settle();
      };
      const waiter: Waiter = {
        check: () => {
          const found = this.#events.slice(from).find(isNamed(names));
          if (found !== undefined) done(() => resolve(found));
          else if (this.#failure !== undefined) waiter.fail(this.#failure);
        },
        fail: (error) => done(() => reject(error)),
      };
      const onAbort = () => waiter.fail(signal?.reason);
      const timer = setTimeout(() => waiter.fail(this.#tooLate(names, timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      if (signal?.aborted) onAbort();
      else waiter.check();
    });
  }

  async #pump(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of this.#source) this.#print(decoder.decode(chunk, { stream: true }));
      this.#fail(this.#ended(''));
    } catch (error) {
      // A host that is gone says nothing about its guest.
      const isHostGone = isSevHarnessError(error, 'LIBVIRT_CONNECTION_LOST');
      this.#fail(isHostGone ? error : this.#ended(` (${errorText(error)})`, error));
    }
  }

  #print(text: string): void {
    this.#text = (this.#text + text).slice(-TEXT_MAX);
    const lines = (this.#line + text).split('\n');
    this.#line = (lines.pop() ?? '').slice(-TEXT_MAX);
    let malformed: unknown;
    try {
      for (const line of lines) {
        const event = parseConsoleLine(line);
        if (event !== undefined) this.#events.push(event);
      }
    } catch (error) {
      malformed = error;
    }
    // Who waits at a prompt ends no line.
    const prompt = printable(this.#line).endsWith('>') ? [this.#line] : [];
    // A kernel that panics may do so in the middle of a line of the agent.
    if (isEndOfBoot([...lines, ...prompt].join('\n'))) this.#fail(this.#bootFailed());
    else if (malformed !== undefined) this.#fail(malformed);
    else this.#wake();
  }

  /** The whole text knows the cause, where the last lines know only what followed from it. */
  #bootFailed() {
    const { cause = '', line = '', fix = '' } = diagnoseBoot(this.#text) ?? {};
    const details = { console: this.#text.slice(-TAIL_MAX) };
    const what = this.#events.some(isNamed(['ready'])) ? 'gave up after it had booted' : 'did not boot';
    const message = `guest ${this.#guest} ${what}. ${cause} Its console says: ${line.slice(0, SHOWN_MAX)}`;
    return guestError('GUEST_BOOT_FAILED', message, { hint: fix, details });
  }

  /** The first failure is the one that counts. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  #tooLate(names: readonly GuestEventName[], timeoutMs: number) {
    const what = names.map((name) => `'${name}'`).join(' or ');
    return this.#withDiagnosis(
      'GUEST_CONSOLE_TIMEOUT',
      `guest ${this.#guest} did not report ${what} within ${timeoutMs / 1000} s; ${this.#lastSeen()}`,
    );
  }

  #ended(why: string, cause?: unknown) {
    return this.#withDiagnosis(
      'GUEST_CONSOLE_ENDED',
      `the console of guest ${this.#guest} ended${why}; ${this.#lastSeen()}`,
      cause,
    );
  }

  #withDiagnosis(code: 'GUEST_CONSOLE_TIMEOUT' | 'GUEST_CONSOLE_ENDED', message: string, cause?: unknown) {
    const isEnd = code === 'GUEST_CONSOLE_ENDED';
    // Silence has its causes while a guest runs; of one that ended it tells nothing.
    const diagnosis = isEnd && this.#lastLine() === undefined ? undefined : diagnoseBoot(this.#text);
    const extras = {
      ...(cause === undefined ? {} : { cause }),
      ...(isEnd ? { hint: ENDED_HINT } : {}),
      details: { console: this.#text.slice(-TAIL_MAX) },
    };
    // A guest that told that it is ready has booted, whatever else it lacks.
    if (diagnosis === undefined || this.#events.length > 0) return guestError(code, message, extras);
    return guestError(code, `${message}. ${diagnosis.cause}`, { ...extras, hint: diagnosis.fix });
  }

  /** Firmware clears the screen before it has anything to say. */
  #lastLine(): string | undefined {
    return this.#text
      .split('\n')
      .map(printable)
      .findLast((line) => line !== '');
  }

  #lastSeen(): string {
    const last = this.#lastLine();
    return last === undefined ? 'it printed nothing' : `it printed last: ${last.slice(0, SHOWN_MAX)}`;
  }
}

function listOf<N extends GuestEventName>(names: N | readonly N[]): readonly N[] {
  return typeof names === 'string' ? [names] : names;
}

function isNamed<N extends GuestEventName>(names: readonly N[]) {
  return (event: GuestEvent): event is GuestEventOf<N> => names.some((name) => name === event.event);
}
