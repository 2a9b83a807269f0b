import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FaultSwitches } from '../../faults/switches.ts';
import { profiles } from '../../profiles/index.ts';
import { Machine } from '../machine.ts';
import { formatXml } from '../xml/format.ts';
import { parseDefinition } from './definition.ts';
import { liveTree } from './live.ts';

// What a session libvirtd 9.0.0 with QEMU 7.2 answered to `dumpxml` for the definition of the same name; paths of the
// recording machine are replaced by those of a system libvirtd.
const recordings = path.resolve(import.meta.dirname, 'recordings');
const names = readdirSync(recordings)
  .filter((file) => file.endsWith('.given.xml'))
  .map((file) => file.slice(0, -'.given.xml'.length));

const recorded = (file: string) => readFileSync(path.join(recordings, file), 'utf8');

describe('dumpxml gives back what libvirt 9.0 gives back', () => {
  test.each(names)('%s, inactive', (name) => {
    const definition = parseDefinition(recorded(`${name}.given.xml`), profiles.naples, () => 'not used');
    expect(formatXml(definition.tree)).toBe(recorded(`${name}.inactive.xml`));
  });

  test.each(names.filter((name) => readdirSync(recordings).includes(`${name}.running.xml`)))('%s, running', (name) => {
    const machine = new Machine(profiles.naples, new FaultSwitches([]), 'none');
    const definition = parseDefinition(recorded(`${name}.given.xml`), profiles.naples, () => 'not used');
    const expected = recorded(`${name}.running.xml`);
    const id = Number(/ id='(\d+)'/.exec(expected)?.[1]);
    expect(withoutHostDetails(formatXml(liveTree(definition, id, machine)))).toBe(withoutHostDetails(expected));
  });
});

/**
 * Leaves out what depends on the host: terminals, CPU features, and what only a system libvirtd has (partition, label).
 */
function withoutHostDetails(xml: string): string {
  return xml
    .replace(/\/dev\/pts\/\d+/g, '/dev/pts/N')
    .replace(/^ *<feature policy=.*\n/gm, '')
    .replace(/^ *<resource>[\s\S]*?<\/resource>\n/m, '')
    .replace(/^ *<seclabel[\s\S]*?<\/seclabel>\n/m, '');
}
