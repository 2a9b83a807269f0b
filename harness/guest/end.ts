import { diagnose } from '../diagnosis/diagnose.ts';
import type { Host } from '../host/host.ts';
import { parseLibvirtUri } from '../libvirt/index.ts';

const SYSTEM_LOGS = '/var/log/libvirt/qemu';
/** Of a user's own daemon, where its user is ours. */
const SESSION_LOGS = `echo "\${XDG_CACHE_HOME:-$HOME/.cache}/libvirt/qemu/log"`;
const CRASHED = /shutting down, reason=crashed/;

/**
 * Why a guest is gone that nobody ended: libvirt's log of it, with what the kernel says of its QEMU, whose pid must have
 * been seen while it ran. Undefined when it ended as guests do.
 */
export async function explainEnd(host: Host, name: string, pid: number | undefined): Promise<string | undefined> {
  const log = await guestLog(host, name);
  if (!('text' in log))
    return `guest ${name} was gone before it was stopped. Whether it was killed cannot be told from here: ${log.because}. On the host, libvirt's log of it says how it ended, and the kernel log what the OOM killer killed.`;
  if (!CRASHED.test(log.text)) return undefined;
  const evidence = [log, { name: 'dmesg', text: pid === undefined ? '' : await kernelWords(host, pid) }];
  const causes = diagnose(evidence)
    .findings.filter((finding) => finding.kind === 'cause')
    .map((finding) => `${finding.evidence} says '${finding.text}': ${finding.cause} ${finding.fix}`);
  return `guest ${name} ended, and nobody asked it to. ${causes.join(' ')}`;
}

async function guestLog(host: Host, name: string): Promise<{ name: string; text: string } | { because: string }> {
  const isSession = parseLibvirtUri(host.connection.uri).session;
  const folder = isSession ? await host.shell.run(['sh', '-c', SESSION_LOGS]) : undefined;
  const path = `${folder?.outcome === 'read' ? Buffer.from(folder.bytes).toString().trim() : SYSTEM_LOGS}/${name}.log`;
  const reading = await host.shell.readFile(path);
  if (reading.outcome === 'read') return { name: path, text: Buffer.from(reading.bytes).toString() };
  return { because: reading.outcome === 'absent' ? `${path} does not exist` : `${path}: ${reading.because}` };
}

/** The kernel's log is that of the whole machine and of many days: only its lines about this QEMU that it ended. */
async function kernelWords(host: Host, pid: number): Promise<string> {
  const reading = await host.shell.run(['dmesg']);
  if (reading.outcome !== 'read') return '';
  const ofOurs = new RegExp(`Killed process ${pid} \\(qemu|oom-kill:.*\\btask=qemu[^,]*,pid=${pid}\\b`);
  const lines = Buffer.from(reading.bytes).toString().split('\n');
  return lines.filter((line) => ofOurs.test(line)).join('\n');
}
