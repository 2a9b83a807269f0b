import { HostMemory } from '../memory/host-memory.ts';
import { ALGORITHM, assemble, encodeBody, pointOf, USAGE } from './certificate.ts';
import { CONTEXT, sealPacket, type TransportKeys, wrapSession } from './channel.ts';
import type { SecureProcessorOptions } from './core.ts';
import { SevDriver } from './driver.ts';
import type { FirmwareFaultId } from './faults.ts';
import { generateKeyPair, type Point, sharedSecret } from './p384.ts';
import { SecureProcessor } from './processor.ts';
import { type RandomBytes, seededRandom } from './random.ts';
import { type Reply, SEV_STATUS, sevStatusName } from './status.ts';

export const VERSION = { apiMajor: 1, apiMinor: 51, build: 3 };

/** An emulated machine with 15 ASIDs, of which 1 to 4 are for SEV-ES. */
export function createMachine(
  overrides: Partial<SecureProcessorOptions> & { readonly fault?: FirmwareFaultId; readonly seed?: string } = {},
) {
  const { fault, seed = 'machine', ...options } = overrides;
  const memory = new HostMemory({ tweak: 'per-boot', random: seededRandom(`${seed} tweak`) });
  const processor = new SecureProcessor({
    version: VERSION,
    generation: 'naples',
    memory,
    maxAsid: 15,
    minSevAsid: 5,
    isEsCapable: true,
    random: seededRandom(seed),
    ...(fault ? { faults: new Set([fault]) } : {}),
    ...options,
  });
  return { memory, processor, driver: new SevDriver(processor, options.isEsCapable ?? true) };
}

export type Machine = ReturnType<typeof createMachine>;

/** The outputs of a command that must succeed. */
export function must<T extends object>(reply: Reply<T>): T & { readonly status: 0 } {
  if (reply.status === SEV_STATUS.SUCCESS) return reply;
  throw new Error(`the command failed with ${sevStatusName(reply.status)}`);
}

export interface Owner {
  readonly keys: TransportKeys;
  readonly dhCert: Uint8Array;
  session(policy: number): Uint8Array;
}

/** A guest owner who made a session for a PDH. */
export function createOwner(pdh: Uint8Array, random: RandomBytes = seededRandom('owner')): Owner {
  const pair = generateKeyPair(random);
  const point = pointOf(pdh);
  if (!point) throw new Error('no P-384 key in the PDH');
  const z = sharedSecret(pair.secret, point);
  const keys = { tek: random(16), tik: random(16) };
  const [nonce, iv] = [random(16), random(16)];
  return { keys, dhCert: godh(pair.point), session: (policy) => wrapSession(z, keys, policy, nonce, iv) };
}

/** An unsigned DH certificate with any point. */
export function godh(point: Point): Uint8Array {
  return assemble(encodeBody({ apiMajor: 0, apiMinor: 0 }, USAGE.PDH, ALGORITHM.ECDH_SHA256, point));
}

export function pdhOf(machine: Machine): Uint8Array {
  return must(machine.driver.exportChain()).pdh;
}

export interface LaunchedGuest {
  readonly handle: number;
  readonly asid: number;
  readonly owner: Owner;
  /** System physical address of what was loaded. */
  readonly address: number;
}

/** A guest in LUPDATE with `content` loaded, whole 16-byte blocks. */
export function launch(
  machine: Machine,
  policy: number,
  content = Buffer.alloc(4 * 4096, 'firmware of the guest'),
  asid = 5,
): LaunchedGuest {
  const owner = createOwner(pdhOf(machine), seededRandom(`owner of ${asid}`));
  const { launch: commands, guests } = machine.processor;
  const { handle } = must(commands.start({ policy, dhCert: owner.dhCert, session: owner.session(policy) }));
  must(guests.activate(handle, asid));
  const address = machine.memory.dram.allocate(content.length);
  machine.memory.write(address, content);
  must(commands.updateData(handle, address, content.length));
  return { handle, asid, owner, address };
}

/** A secret as the owner seals it for a measured guest. */
export function sealSecret(keys: TransportKeys, plain: Uint8Array, measurement?: Uint8Array, iv = Buffer.alloc(16, 9)) {
  return sealPacket(keys, CONTEXT.SECRET, plain, iv, measurement);
}
