import { harnessError } from '../errors.ts';
import {
  type FaultId,
  faultCatalogue,
  isFaultId,
  isProfileName,
  profiles,
  startEmulatedHost,
} from '../fakelibvirt/index.ts';
import { say } from './output.ts';

export interface EmulateOptions {
  readonly profile: string;
  readonly socket?: string;
  readonly fault: readonly string[];
  readonly realisticDelays?: boolean;
  readonly verbose?: boolean;
}

/** Serves an emulated host until SIGINT or SIGTERM. Prints its URI on stdout, once, when clients can connect. */
export async function emulateVerb(options: EmulateOptions): Promise<number> {
  const { profile } = options;
  if (!isProfileName(profile))
    throw harnessError('CLI_USAGE', `--profile: unknown profile '${profile}'`, {
      hint: `Profiles: ${Object.keys(profiles).join(', ')}.`,
    });
  const unknown = options.fault.find((fault) => !isFaultId(fault));
  if (unknown !== undefined)
    throw harnessError('CLI_USAGE', `--fault: unknown fault '${unknown}'`, {
      hint: `Faults: ${faultCatalogue.map((fault) => fault.id).join(', ')}.`,
    });
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGINT', () => resolve('SIGINT'));
    process.once('SIGTERM', () => resolve('SIGTERM'));
  });
  await using host = await startEmulatedHost({
    profile,
    ...(options.socket === undefined ? {} : { socketPath: options.socket }),
    faults: options.fault as readonly FaultId[],
    delays: options.realisticDelays ? 'realistic' : 'none',
    ...(options.verbose ? { log: say } : {}),
  });
  process.stdout.write(`${host.uri}\n`);
  say(`Emulated host: ${host.profile.title} No hardware is involved. Try: virsh -c '${host.uri}' nodesevinfo`);
  say('Ctrl-C stops it, and every guest on it.');
  await stopped;
  return 0;
}
