import { ERRNO } from '../../kernel/errno.ts';
import { isBlobName } from '../../qemu/kernel-hashes.ts';
import { readHostFile } from '../../state/host-files.ts';
import { runProgram } from '../../state/host-programs.ts';
import type { EmulatorHandlers } from '../dispatch.ts';

const VERSION = '1';
const SIGNALS = { none: 0, kill: 9, term: 15 } as const;

/** The program of our own: what a test gets from a real host's shell. */
export const emulatorHandlers: EmulatorHandlers = {
  identify: (_, { machine }) => ({ profile: machine.profile.name, version: VERSION, faults: machine.faults.shown() }),
  readFile: ({ path, offset, length }, { machine }) => {
    const reading = readHostFile(machine, path, Number(offset), length);
    return reading.ok
      ? { errno: 0, content: reading.content }
      : { errno: ERRNO[reading.errno], content: new Uint8Array(0) };
  },
  kill: ({ pid, signal }, { machine }) => {
    const qemu = machine.processes.get(pid);
    if (qemu === undefined) return { errno: ERRNO.ESRCH };
    switch (signal) {
      case SIGNALS.none:
        break;
      case SIGNALS.kill:
        qemu.exit('killed');
        break;
      case SIGNALS.term:
        qemu.exit('terminated');
        break;
      default:
        return { errno: ERRNO.EINVAL };
    }
    return { errno: 0 };
  },
  swapBlob: ({ pid, blob, content }, { machine }) => {
    const qemu = machine.processes.get(pid);
    if (qemu === undefined) return { errno: ERRNO.ESRCH };
    const isSwapped = isBlobName(blob) && (machine.has('swap-ignored') || qemu.guest.swapBlob(blob, content));
    return { errno: isSwapped ? 0 : ERRNO.EINVAL };
  },
  runProgram: ({ name, input }, { machine }) => runProgram(machine, name, input),
};
