import { libvirtError } from './errors.ts';

/** The `return` of a QMP reply. Throws `QEMU_MONITOR` for a refusal and for a reply that is not QMP. */
export function interpretMonitorReply(reply: string, command: string, domain: string): unknown {
  const where = `domain '${domain}'`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(reply);
  } catch (error) {
    throw libvirtError('QEMU_MONITOR', `the monitor of ${where} answered ${command} with something that is not JSON`, {
      details: { command, reply },
      cause: error,
    });
  }
  if (typeof parsed === 'object' && parsed !== null) {
    if ('return' in parsed) return parsed.return;
    if ('error' in parsed && typeof parsed.error === 'object' && parsed.error !== null) {
      const { class: kind, desc } = parsed.error as { class?: unknown; desc?: unknown };
      throw libvirtError('QEMU_MONITOR', `QEMU of ${where} refused ${command}: ${desc} (${kind})`, {
        details: { command, class: String(kind), desc: String(desc) },
      });
    }
  }
  throw libvirtError('QEMU_MONITOR', `the monitor of ${where} answered ${command} with neither return nor error`, {
    details: { command, reply },
  });
}
