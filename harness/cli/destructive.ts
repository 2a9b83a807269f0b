import { formatColumns } from './output.ts';

/** What scenarios change on a host, only where `--allow-destructive` lets them. */
const CHANGES: Readonly<Record<string, string>> = {
  'firmware-platform': "makes new platform keys (PDH, PEK), for good: owners' sessions end",
  ksm: 'switches kernel samepage merging (KSM) on for a while where it is off',
  'launch-tamper': 'makes a new PDH, for good: sessions that were made for the old one end',
};

/** One line for each scenario that changes something; of all where none is named. */
export function formatChanges(ids: readonly string[] = Object.keys(CHANGES)): string {
  const rows = Object.entries(CHANGES).flatMap(([id, change]) => (ids.includes(id) ? [[`  ${id}`, change]] : []));
  return rows.length === 0 ? '' : formatColumns(rows);
}
