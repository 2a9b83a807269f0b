import { wantsColour } from '../../../reports/terminal/paint.ts';
import { guardOutput } from '../output.ts';
import type { AttestIo } from './io.ts';

/** The real world; whatever takes time to load is loaded when it is used. */
export function processIo(): AttestIo {
  const { env } = process;
  const print = (stream: 'stdout' | 'stderr') => (text: string) => {
    guardOutput();
    process[stream].write(text);
  };
  return {
    out: print('stdout'),
    err: print('stderr'),
    get isColoured() {
      return wantsColour(process.stdout.isTTY === true, env);
    },
    get showsProgress() {
      return process.stderr.isTTY === true;
    },
    env,
    random: (length) => process.getBuiltinModule('node:crypto').randomBytes(length),
    download: async (url) => (await import('./download.ts')).downloadFile(url),
    connect: async (uri) => (await import('../../libvirt/index.ts')).connect(uri),
    hostname: async () => (await import('node:os')).hostname(),
  };
}
