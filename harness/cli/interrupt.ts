/**
 * Ctrl-C as two stages: the first aborts the signal, the second runs `onSecond` and ends the process. A terminal that closes
 * (SIGHUP) is a first stage and no second: nobody is there who lost patience.
 */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

const EXIT_AFTER_SECOND = 2;
const CAUGHT: ReadonlySet<string | symbol> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP']);

export function catchInterrupts(options: {
  readonly onFirst: () => void;
  readonly onSecond: () => Promise<void>;
}): Interrupt {
  const controller = new AbortController();
  let count = 0;
  const onSignal = () => {
    count++;
    if (count === 1) {
      options.onFirst();
      controller.abort(new Error('interrupted'));
    } else if (count === 2) {
      void options.onSecond().finally(() => process.exit(EXIT_AFTER_SECOND));
    }
  };
  const onHangUp = () => {
    if (count === 0) onSignal();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onHangUp);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      process.off('SIGHUP', onHangUp);
    },
  };
}

/** Runs what would catch a signal by itself and end the process before our cleanup: its listeners go as soon as they come. */
export async function keepingInterrupts<T>(action: () => Promise<T>): Promise<T> {
  const refuse = (name: string | symbol, listener: (...args: unknown[]) => void) => {
    // It is told before the listener is there; a signal is told only after microtasks.
    if (CAUGHT.has(name)) queueMicrotask(() => process.off(name, listener));
  };
  process.on('newListener', refuse);
  try {
    return await action();
  } finally {
    process.off('newListener', refuse);
  }
}
