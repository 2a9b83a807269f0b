import { createHash } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import type { FileReading, HostShell } from './shell.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;

/** A file of any size: one reading of the shell ends at 4 MiB, and guest firmware, kernels and initrds do not. */
export async function readWholeFile(shell: HostShell, path: string): Promise<FileReading> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const reading = await shell.readFile(path, { offset: chunks.length * CHUNK_BYTES, length: CHUNK_BYTES });
    if (reading.outcome !== 'read') return reading;
    chunks.push(reading.bytes);
    if (reading.bytes.length < CHUNK_BYTES) return { outcome: 'read', bytes: concatBytes(...chunks) };
  }
}

/** The last bytes of a file, cut off on the host where it runs commands. */
export async function readEndOfFile(shell: HostShell, path: string, bytes: number): Promise<FileReading> {
  const cut = await shell.run(['tail', '-c', String(bytes), '--', path]);
  if (cut.outcome === 'read') return cut;
  const reading = await readWholeFile(shell, path);
  return reading.outcome === 'read' ? { outcome: 'read', bytes: reading.bytes.subarray(-bytes) } : reading;
}

/** SHA-256 of a file, 32 bytes: computed on the host where it runs commands, so that a kernel need not travel. */
export async function sha256OfFile(shell: HostShell, path: string): Promise<FileReading> {
  const computed = await shell.run(['sha256sum', '--', path]);
  if (computed.outcome === 'read') {
    const hex = /^\\?([0-9a-f]{64}) /.exec(Buffer.from(computed.bytes).toString())?.[1];
    if (hex !== undefined) return { outcome: 'read', bytes: new Uint8Array(Buffer.from(hex, 'hex')) };
  }
  const reading = await readWholeFile(shell, path);
  if (reading.outcome !== 'read') return reading;
  return { outcome: 'read', bytes: new Uint8Array(createHash('sha256').update(reading.bytes).digest()) };
}
