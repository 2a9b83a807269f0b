import { coreDump } from '../../memory/core-dump.ts';
import { readByWay } from '../../memory/reading-ways.ts';
import { refusal, systemRefusal } from '../../refusal.ts';
import type { Domain, LiveDomain } from '../../state/domain.ts';
import { canCreateFile } from '../../state/host-paths.ts';
import { requireActive } from '../../state/lifecycle.ts';
import type { Machine } from '../../state/machine.ts';
import { assertMigratable, whileStopped } from '../../state/save.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';

/** VIR_MEMORY_VIRTUAL, VIR_MEMORY_PHYSICAL */
const MEMORY_FLAGS = [1, 2];
/** REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX */
const MAX_BYTES = 4_194_304;
/** VIR_DUMP_LIVE, _BYPASS_CACHE, _MEMORY_ONLY: not those that end or reset the guest afterwards. */
const DUMP_FLAGS = 2 | 4 | 16;
const DUMP_LIVE = 2;
const DUMP_MEMORY_ONLY = 16;
/** VIR_DOMAIN_CORE_DUMP_FORMAT_RAW: ELF. */
const RAW = 0;

export const domainMemoryHandlers: RemoteHandlers = {
  // The model guest maps its memory one to one: a virtual address is the physical one.
  domainMemoryPeek: ({ dom, offset, size, flags }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    if (size > MAX_BYTES) throw refusal('INTERNAL_ERROR', 'RPC', 'size > maximum buffer size');
    if (!MEMORY_FLAGS.includes(flags)) {
      throw refusal('INVALID_ARG', 'QEMU', 'flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL');
    }
    const live = requireActive(domain);
    return { buffer: readByWay(machine, live.qemu.guest, 'peek', Number(offset), size) };
  },
  domainCoreDump: ({ dom, to, flags }, { machine }) => {
    dumpCore(machine, machine.domains.resolve(dom), { path: to, format: RAW, flags });
    return {};
  },
  domainCoreDumpWithFormat: ({ dom, to, dumpformat, flags }, { machine }) => {
    dumpCore(machine, machine.domains.resolve(dom), { path: to, format: dumpformat, flags });
    return {};
  },
};

/** `qemuDomainCoreDumpWithFormat`. Only the memory: the other form is a migration into a file, which the model guest has not. */
function dumpCore(
  machine: Machine,
  domain: Domain,
  { path, format, flags }: { readonly path: string; readonly format: number; readonly flags: number },
): void {
  checkFlags(flags, DUMP_FLAGS, 'qemuDomainCoreDumpWithFormat');
  const live = requireActive(domain);
  const write = () => writeCore(machine, live, { path, format, flags });
  if ((flags & DUMP_LIVE) !== 0) write();
  else whileStopped(machine, domain, live, write);
}

function writeCore(
  machine: Machine,
  live: LiveDomain,
  { path, format, flags }: { readonly path: string; readonly format: number; readonly flags: number },
): void {
  if (!canCreateFile(path)) throw systemRefusal(2, 'QEMU', `Failed to create file '${path}'`);
  if ((flags & DUMP_MEMORY_ONLY) === 0) {
    if (format !== RAW)
      throw refusal('OPERATION_UNSUPPORTED', 'QEMU', 'kdump-compressed format is only supported with memory-only dump');
    assertMigratable(machine, live, 'save-allowed');
    throw refusal('NO_SUPPORT', 'DOMAIN', 'virDomainCoreDump');
  }
  if (format !== RAW) throw refusal('INVALID_ARG', 'QEMU', "unsupported dumpformat 'kdump-zlib' for this QEMU binary");
  machine.dumps.set(path, coreDump(machine, live.qemu.guest));
}
