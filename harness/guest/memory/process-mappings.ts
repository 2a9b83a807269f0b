/** One line of /proc/PID/maps that can be written and holds no file. */
export interface AnonymousMapping {
  readonly address: number;
  readonly bytes: number;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) rw[-x][ps] [0-9a-f]+ \S+ (\d+)\s*(.*)$/;

/**
 * Mappings that could be a guest's RAM: readable, writable, of this size; anonymous, or a file that stands for memory
 * (`memory-backend-memfd`, hugepages, `memory-backend-file`). proc_pid_maps(5).
 */
export function mappingsOfSize(maps: string, bytes: number): AnonymousMapping[] {
  return maps.split('\n').flatMap((line) => {
    const [, start = '', end = ''] = LINE.exec(line) ?? [];
    const address = Number.parseInt(start, 16);
    return Number.parseInt(end, 16) - address === bytes ? [{ address, bytes }] : [];
  });
}
