import { diagnose } from '../diagnosis/diagnose.ts';
import { type Domain, isNoDomain, isRemoteError, type LibvirtConnection } from '../libvirt/index.ts';

/** What a host made of a definition. */
export interface Trial {
  readonly outcome: 'started' | 'refused at define' | 'refused at start';
  /** The host's own words; empty when it started. */
  readonly text: string;
  /** Id of the finding that explains the words, `unknown` when none does; empty when it started. */
  readonly diagnosis: string;
  /** Whether the host still knows the domain after it was undefined, or never said no and lost it. */
  readonly isLeft: boolean;
}

/**
 * Defines a guest and starts it, then takes it away again. Its name must be of this run, and its cleanup registered.
 *
 * A refusal is a value; anything else throws.
 */
export async function tryDomain(connection: LibvirtConnection, name: string, xml: string): Promise<Trial> {
  let stage: Trial['outcome'] = 'refused at define';
  try {
    const domain = await connection.defineDomain(xml);
    stage = 'refused at start';
    await domain.start();
    await takeAway(domain);
    return { outcome: 'started', text: '', diagnosis: '', isLeft: await isKnown(connection, name) };
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    const text = error.remote.message ?? error.message;
    const { code, domain } = error.remote;
    const [first] = diagnose([{ name: 'libvirt', text, libvirt: { code, domain } }]).findings;
    const refused = { outcome: stage, text, diagnosis: first?.id ?? 'unknown' };
    const runs = await isActive(connection, name);
    if (stage === 'refused at start' && !runs) await (await connection.lookupByName(name)).undefine({ nvram: true });
    return { ...refused, isLeft: runs || (await isKnown(connection, name)) };
  }
}

async function takeAway(domain: Domain): Promise<void> {
  await domain.destroy();
  await domain.undefine({ nvram: true });
}

async function isActive(connection: LibvirtConnection, name: string): Promise<boolean> {
  return (await connection.listDomains()).some((domain) => domain.name === name && domain.id !== -1);
}

async function isKnown(connection: LibvirtConnection, name: string): Promise<boolean> {
  try {
    await connection.lookupByName(name);
    return true;
  } catch (error) {
    if (isNoDomain(error)) return false;
    throw error;
  }
}
