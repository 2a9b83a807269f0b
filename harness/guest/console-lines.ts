import type { LiveGuest } from './running.ts';

/** What a guest has printed on its first serial port until `isEnough`, or until the console falls silent for the time given. */
export async function readConsole(
  { domain }: LiveGuest,
  isEnough: (text: string) => boolean,
  silenceMs: number,
): Promise<string> {
  const stream = await domain.openConsole();
  let text = '';
  try {
    const chunks = stream[Symbol.asyncIterator]();
    while (!isEnough(text)) {
      const chunk = await Promise.race([chunks.next(), silence(silenceMs)]);
      if (chunk === undefined || chunk.done === true) break;
      text += new TextDecoder().decode(chunk.value);
    }
  } finally {
    await stream.close();
  }
  return text;
}

function silence(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref();
  });
}
