import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
];
const ANSWER_MS = 20_000;

export interface PageView {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
  readonly media?: 'screen' | 'print';
  /** Goes behind `#`. */
  readonly hash?: string;
}

export interface OpenPage {
  /** Evaluates an expression in the page; the page's own policy does not apply to it. */
  evaluate<T>(expression: string): Promise<T>;
  /** Console messages, exceptions and policy violations so far. */
  readonly messages: readonly string[];
  /** Addresses that the page asked for, itself included. */
  readonly requests: readonly string[];
  screenshot(): Promise<Buffer>;
}

export interface Chromium {
  open(html: string, view?: PageView): Promise<OpenPage>;
  close(): Promise<void>;
}

type Message = {
  id?: number;
  sessionId?: string;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: { message: string };
};

/** Path of the browser, or an error that says what to install: a machine without one must not pass by skipping. */
export function chromiumPath(): string {
  const given = process.env.SEV_HARNESS_CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(given)) {
    throw new Error(
      `${given} is missing: install Debian's package chromium, or set SEV_HARNESS_CHROMIUM to a Chromium`,
    );
  }
  return given;
}

/** Starts a Chromium with a profile of its own and talks to it over a pipe: no port, no other program. */
export async function startChromium(): Promise<Chromium> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-chromium-'));
  const child = spawn(chromiumPath(), [...FLAGS, `--user-data-dir=${path.join(folder, 'profile')}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const output = child.stdio[3] as Writable;
  const input = child.stdio[4] as Readable;
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners = new Set<(message: Message) => void>();
  let rest = '';
  let nextId = 1;
  input.on('data', (bytes: Buffer) => {
    const parts = `${rest}${bytes.toString('utf8')}`.split('\0');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      const call = message.id === undefined ? undefined : waiting.get(message.id);
      if (call === undefined) for (const listener of listeners) listener(message);
      else if (message.error !== undefined) call.reject(new Error(message.error.message));
      else call.resolve(message.result);
    }
  });
  input.setEncoding('utf8');
  output.on('error', () => {});

  const call = <T>(method: string, params: object = {}, sessionId?: string): Promise<T> => {
    const id = nextId++;
    const { promise, resolve, reject } = withResolvers<unknown>();
    const timer = setTimeout(
      () => reject(new Error(`chromium did not answer ${method} within ${ANSWER_MS} ms`)),
      ANSWER_MS,
    );
    waiting.set(id, { resolve, reject });
    output.write(`${JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) })}\0`);
    return promise.finally(() => {
      clearTimeout(timer);
      waiting.delete(id);
    }) as Promise<T>;
  };

  const open = async (html: string, view: PageView = {}): Promise<OpenPage> => {
    const file = path.join(mkdtempSync(path.join(folder, 'page-')), 'index.html');
    writeFileSync(file, html);
    const { targetId } = await call<{ targetId: string }>('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await call<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    const messages: string[] = [];
    const requests: string[] = [];
    const loaded = withResolvers<void>();
    listeners.add((message) => {
      if (message.sessionId !== sessionId) return;
      const params = JSON.stringify(message.params);
      if (message.method === 'Page.loadEventFired') loaded.resolve();
      if (
        message.method === 'Log.entryAdded' ||
        message.method === 'Runtime.exceptionThrown' ||
        message.method === 'Runtime.consoleAPICalled'
      )
        messages.push(params);
      if (message.method === 'Page.javascriptDialogOpening') {
        messages.push(`dialog ${params}`);
        void call('Page.handleJavaScriptDialog', { accept: true }, sessionId);
      }
      if (message.method === 'Network.requestWillBeSent')
        requests.push((message.params as { request: { url: string } }).request.url);
    });
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await call(`${domain}.enable`, {}, sessionId);
    const { width = 1200, height = 900, scheme = 'light', media = 'screen' } = view;
    await call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false }, sessionId);
    await call(
      'Emulation.setEmulatedMedia',
      { media, features: [{ name: 'prefers-color-scheme', value: scheme }] },
      sessionId,
    );
    const url = pathToFileURL(file).href;
    await call('Page.navigate', { url: view.hash === undefined ? url : `${url}#${view.hash}` }, sessionId);
    await loaded.promise;
    return {
      messages,
      requests,
      evaluate: async <T>(expression: string) => {
        const answer = await call<{ result: { value: T }; exceptionDetails?: unknown }>(
          'Runtime.evaluate',
          { expression, returnByValue: true, awaitPromise: true },
          sessionId,
        );
        if (answer.exceptionDetails !== undefined)
          throw new Error(`in the page: ${JSON.stringify(answer.exceptionDetails)}`);
        return answer.result.value;
      },
      screenshot: async () => {
        const { data } = await call<{ data: string }>(
          'Page.captureScreenshot',
          { captureBeyondViewport: true },
          sessionId,
        );
        return Buffer.from(data, 'base64');
      },
    };
  };

  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    open,
    close: async () => {
      await call('Browser.close').catch(() => child.kill('SIGKILL'));
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(timer);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
