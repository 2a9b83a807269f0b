import path from 'node:path';
import type { ScenarioSettings } from '../fixtures/settings.ts';
import { deliverFiles } from '../host/deliver.ts';
import type { Host } from '../host/host.ts';
import { DISK_BYTES, prepareImage } from './image/build.ts';
import type { LaunchOptions } from './running.ts';

/** What the agent in a guest is asked to do when it boots; it reports in any case what guest it is in. */
export interface AgentRequest {
  /** Bytes, 1 to 256, that shall fill private memory, and go through a device into shared memory where there is some. */
  readonly canaryHex?: string;
  /** How much private memory the canary fills; 2048 when absent. The emulated guest fills 32. */
  readonly canaryKiB?: number;
  /** Where a launch secret stands, for kernels without the efi_secret driver. */
  readonly secretAddress?: number;
  /** Pages whose contents every guest with the same seed has too. The seed has no spaces. */
  readonly equalPages?: { readonly pages: number; readonly seed: string };
  readonly workloads?: readonly Workload[];
  /** Samples of each workload; 5 when absent. */
  readonly rounds?: number;
  /** Power off in an orderly way when all is done. */
  readonly powersOff?: boolean;
}

export type Workload = 'memory-bandwidth' | 'memory-latency' | 'disk-read';

export interface ImageContext {
  readonly host: Pick<Host, 'kind' | 'name' | 'shell'>;
  readonly settings: Pick<ScenarioSettings, 'image'>;
  readonly signal?: AbortSignal;
}

/** An emulated host has whatever kernel a guest names. */
const EMULATED_KERNEL = '/boot/vmlinuz';

/** The kernel command line that asks for it. */
export function agentCommandLine(request: AgentRequest): string {
  const { equalPages } = request;
  const parameters: Readonly<Record<string, string | number | undefined>> = {
    canary: request.canaryHex,
    'canary-kib': request.canaryKiB,
    secret: request.secretAddress === undefined ? undefined : `0x${request.secretAddress.toString(16)}`,
    'equal-pages': equalPages && `${equalPages.pages},${equalPages.seed}`,
    workload: request.workloads?.join(','),
    rounds: request.rounds,
    'power-off': request.powersOff ? 'idle' : undefined,
  };
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  // A kernel that panics shall end the guest rather than leave it in a loop.
  return ['console=ttyS0', 'panic=-1', ...given.map(([name, value]) => `sevh.${name}=${value}`)].join(' ');
}

/**
 * How a guest is launched whose agent is asked for this: on a real host with a kernel, an initramfs and devices, which are
 * built when need be; on an emulated one as a model guest, which reads the same command line.
 *
 * Throws what `prepareImage` and `deliverFiles` throw.
 */
export async function agentLaunch(
  { host, settings, signal }: ImageContext,
  request: AgentRequest = {},
): Promise<Pick<LaunchOptions, 'boot' | 'virtio'>> {
  const cmdline = agentCommandLine(request);
  if (host.kind === 'emulated') return { boot: { kernel: EMULATED_KERNEL, cmdline } };
  const image = await prepareImage(settings.image);
  const needsDisk = request.workloads?.includes('disk-read') === true;
  const files = [{ path: image.kernel }, { path: image.initrd }, { path: image.disk, zeroBytes: DISK_BYTES }];
  const [kernel = '', initrd = '', disk = ''] = await deliverFiles(
    host,
    path.basename(path.dirname(image.initrd)),
    files,
    signal,
  );
  const virtio = {
    hasConsole: request.canaryHex !== undefined,
    ...(needsDisk ? { disk } : {}),
  };
  return { boot: { kernel, initrd, cmdline }, virtio };
}
