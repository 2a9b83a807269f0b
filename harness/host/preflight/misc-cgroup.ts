import { MISC_CGROUP_ROOTS as ROOTS } from '../facts.ts';
import type { Host } from '../host.ts';
import { parseFlatKeyed } from './parse.ts';
import { type PreflightReadings, type Reading, read, textOf } from './readings.ts';

type Counts = Readonly<Record<string, number>>;

/** Encryption keys that the misc controller grants, and those in use. */
export async function readMiscCgroup(host: Host): Promise<Pick<PreflightReadings, 'miscCapacity' | 'miscCurrent'>> {
  const capacities = await readCounts(
    host,
    ROOTS.map((root) => `${root}/misc.capacity`),
  );
  const index = capacities.findIndex(({ outcome }) => outcome === 'read');
  const root = ROOTS[index];
  const miscCapacity = capacities[index];
  if (root !== undefined && miscCapacity !== undefined) return { miscCapacity, miscCurrent: await readUse(host, root) };
  const missing =
    capacities.find(({ outcome }) => outcome === 'unknown') ??
    ({ outcome: 'absent', because: `no misc.capacity in ${ROOTS.join(', ')}` } as const);
  return { miscCapacity: missing, miscCurrent: missing };
}

/** Older kernels have misc.current below the root only; what is charged there is charged to every group above. */
async function readUse(host: Host, root: string): Promise<Reading<Counts>> {
  const [own] = await readCounts(host, [`${root}/misc.current`]);
  if (own !== undefined && own.outcome !== 'absent') return own;
  const because = `neither ${root} nor a group in it has misc.current`;
  const list = await host.shell.listFolder(root);
  if (list.outcome !== 'read')
    return { outcome: 'unknown', because: list.outcome === 'absent' ? because : list.because };
  const below = await readCounts(
    host,
    list.names.map((name) => `${root}/${name}/misc.current`),
  );
  const closed = below.find(({ outcome }) => outcome === 'unknown');
  if (closed !== undefined) return closed;
  const counts = below.flatMap((reading) => (reading.outcome === 'read' ? [reading.value] : []));
  if (counts.length === 0) return { outcome: 'unknown', because };
  const sum = (key: string) => counts.reduce((total, one) => total + (one[key] ?? 0), 0);
  return read({ sev: sum('sev'), sev_es: sum('sev_es') });
}

async function readCounts(host: Host, paths: readonly string[]): Promise<Reading<Counts>[]> {
  const files = await host.shell.readFiles(paths);
  return paths.map((path, index) => {
    const text = textOf(files[index], path);
    return text.outcome === 'read' ? read(parseFlatKeyed(text.value)) : text;
  });
}
