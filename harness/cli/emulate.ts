import path from 'node:path';
import { harnessError } from '../errors.ts';
import { type EmulatedHost, type FaultId, isProfileName, profiles, startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect } from '../libvirt/index.ts';
import { makeFolder, writeFiles } from './attest/write.ts';
import { assertKnownFaults } from './fault-names.ts';
import { EXIT, say } from './output.ts';

export interface EmulateOptions {
  readonly profile: string;
  readonly socket?: string;
  readonly fault: readonly string[];
  readonly realisticDelays?: boolean;
  readonly verbose?: boolean;
  readonly certs?: string;
}

/** Serves an emulated host until SIGINT, SIGTERM or SIGHUP. Prints its URI on stdout, once, when clients can connect. */
export async function emulateVerb(options: EmulateOptions): Promise<number> {
  const { profile } = options;
  if (!isProfileName(profile))
    throw harnessError('CLI_USAGE', `--profile: unknown profile '${profile}'`, {
      hint: `Profiles: ${Object.keys(profiles).join(', ')}.`,
    });
  assertKnownFaults(options.fault);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => resolve(signal));
  });
  await using host = await startEmulatedHost({
    profile,
    ...(options.socket === undefined ? {} : { socketPath: options.socket }),
    faults: options.fault as readonly FaultId[],
    delays: options.realisticDelays ? 'realistic' : 'none',
    ...(options.verbose ? { log: say } : {}),
  });
  if (options.certs !== undefined) await writeCertificates(host, options.certs);
  const written = await new Promise((resolve) => process.stdout.write(`${host.uri}\n`, resolve));
  // A host that nobody can find; the output's guard has said why.
  if (written instanceof Error) return EXIT.broken;
  say(`Emulated host: ${host.profile.title}. No hardware is involved, and what it writes (dumps, disks) stays inside.`);
  say(`Try: virsh -c '${host.uri}' nodesevinfo`);
  say('Ctrl-C stops it, and every guest on it.');
  await stopped;
  return 0;
}

/** What AMD's key server has for a real host: the roots, and the signed certificate of this chip. */
async function writeCertificates({ uri, profile }: EmulatedHost, folder: string): Promise<void> {
  if (profile.sevFirmware === undefined)
    throw harnessError('CLI_USAGE', `--certs: the emulated ${profile.name} has no SEV, so no certificates`);
  await using connection = await connect(uri);
  const read = async (name: string) =>
    (
      await connection.callEmulator('readFile', {
        path: `/var/lib/emulated-sev/${name}.cert`,
        offset: 0n,
        length: 1 << 20,
      })
    ).content;
  makeFolder(folder);
  const files = await Promise.all(
    ['cek', 'ask_ark'].map(async (name) => ({
      path: path.join(folder, `${name}_emulated.cert`),
      content: await read(name),
      mode: 0o644 as const,
    })),
  );
  writeFiles(files, { replace: true });
  say(`Certificates of the emulated manufacturer, which is not AMD: ${files.map((file) => file.path).join(', ')}`);
}
