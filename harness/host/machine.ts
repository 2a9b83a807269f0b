import type { Host } from './host.ts';
import { generationOf } from './preflight/checks/processor.ts';
import { parseCpuInfo } from './preflight/parse.ts';

/** The processor of a host, as its kernel describes it. */
export interface MachineIdentity {
  /** EPYC generation: `Naples`, `Milan`, …; undefined for a processor that is none or cannot be read. */
  readonly generation: string | undefined;
  readonly brand: string;
  /** Absent where the kernel does not say, as in a virtual machine. */
  readonly microcode: number | undefined;
}

export async function readMachine(host: Host): Promise<MachineIdentity> {
  const reading = await host.shell.readFile('/proc/cpuinfo');
  const cpu = reading.outcome === 'read' ? parseCpuInfo(Buffer.from(reading.bytes).toString()) : undefined;
  return {
    generation: generationOf(cpu)?.name,
    brand: cpu?.brand ?? 'unknown processor',
    microcode: cpu?.microcode,
  };
}

/** For the head of a result: what was tested, and whether it is hardware. */
export function machineText(host: Host, { generation, brand }: MachineIdentity): string {
  const what = `${generation ?? 'unknown generation'}, ${brand}`;
  return host.kind === 'emulated'
    ? `emulated host ${host.profile ?? ''}: ${what}; firmware and memory are models`
    : what;
}
