import { createRequire } from 'node:module';
import { wantsColour } from '../../../reports/terminal/paint.ts';
import type { AttestIo } from './io.ts';

/** The real world; whatever takes time to load is loaded when it is used. */
export function processIo(): AttestIo {
  const { env, stdout, stderr } = process;
  return {
    out: (text) => stdout.write(text),
    err: (text) => stderr.write(text),
    isColoured: wantsColour(stdout.isTTY === true, env),
    showsProgress: stderr.isTTY === true,
    env,
    random: (length) => {
      const { randomBytes } = createRequire(import.meta.url)('node:crypto') as typeof import('node:crypto');
      return randomBytes(length);
    },
    download: async (url) => (await import('./download.ts')).downloadFile(url),
    connect: async (uri) => (await import('../../libvirt/index.ts')).connect(uri),
    hostname: async () => (await import('node:os')).hostname(),
  };
}
