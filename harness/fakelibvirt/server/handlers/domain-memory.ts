import { refusal } from '../../refusal.ts';
import { requireActive } from '../../state/lifecycle.ts';
import type { RemoteHandlers } from '../dispatch.ts';

/** VIR_MEMORY_VIRTUAL, VIR_MEMORY_PHYSICAL */
const MEMORY_FLAGS = [1, 2];
/** REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX */
const MAX_BYTES = 4_194_304;

export const domainMemoryHandlers: RemoteHandlers = {
  // The model guest maps its memory one to one: a virtual address is the physical one.
  domainMemoryPeek: ({ dom, offset, size, flags }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    if (size > MAX_BYTES) throw refusal('INTERNAL_ERROR', 'RPC', 'size > maximum buffer size');
    if (!MEMORY_FLAGS.includes(flags)) {
      throw refusal('INVALID_ARG', 'QEMU', 'flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL');
    }
    const live = requireActive(domain);
    return { buffer: live.qemu.guest.hostRead(Number(offset), size) };
  },
};
