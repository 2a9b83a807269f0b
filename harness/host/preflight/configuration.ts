import { posix } from 'node:path';
import type { Host } from '../host.ts';
import { parseFirmwareDescriptor, parseModprobe } from './parse.ts';
import { type FirmwareDescriptor, type PreflightReadings, type Reading, read } from './readings.ts';

/** The first counts where several have a file of one name (kmod, libkmod-config.c; QEMU docs/interop/firmware.json). */
const MODPROBE_FOLDERS = ['/etc/modprobe.d', '/run/modprobe.d', '/usr/lib/modprobe.d'];
const FIRMWARE_FOLDERS = ['/etc/qemu/firmware', '/usr/share/qemu/firmware'];

interface FolderFiles {
  readonly texts: Reading<readonly (readonly [path: string, text: string])[]>;
  readonly unread: readonly string[];
}

/** What stands in configuration folders of modprobe and of QEMU's firmware, and which of their files nobody may read. */
export async function readConfiguration(
  host: Host,
): Promise<Pick<PreflightReadings, 'modprobe' | 'descriptors' | 'unreadFiles'>> {
  const [modprobe, firmware] = await Promise.all([
    readFolders(host, MODPROBE_FOLDERS, '.conf'),
    readFolders(host, FIRMWARE_FOLDERS, '.json'),
  ]);
  const descriptors = readDescriptors(firmware);
  return {
    modprobe: mapped(modprobe.texts, (texts) => texts.flatMap(([path, text]) => parseModprobe(path, text))),
    descriptors: descriptors.found,
    unreadFiles: { modprobe: modprobe.unread, descriptors: descriptors.unread },
  };
}

/** An empty file switches off the one of its name in the folder behind it. */
function readDescriptors({ texts, unread }: FolderFiles): {
  found: Reading<readonly FirmwareDescriptor[]>;
  unread: readonly string[];
} {
  const broken: string[] = [];
  const found = mapped(texts, (files) => {
    return files.flatMap(([path, text]) => {
      if (text.trim() === '') return [];
      const descriptor = parseFirmwareDescriptor(path, text);
      if (descriptor === undefined) broken.push(`${path}: not a firmware descriptor`);
      return descriptor ?? [];
    });
  });
  return { found, unread: [...unread, ...broken] };
}

/** Files that end in `suffix`, each name once, with their texts; a folder that is absent has none. */
export async function readFolders(host: Host, folders: readonly string[], suffix: string): Promise<FolderFiles> {
  const lists = await Promise.all(folders.map((folder) => host.shell.listFolder(folder)));
  const closed = lists.flatMap((list, index) =>
    list.outcome === 'unreadable' ? [`${folders[index]}: ${list.because}`] : [],
  );
  if (closed.length > 0 && lists.every(({ outcome }) => outcome !== 'read'))
    return { texts: { outcome: 'unknown', because: closed.join('; ') }, unread: [] };
  const paths = lists.flatMap((list, index) =>
    list.outcome === 'read'
      ? list.names.filter((name) => name.endsWith(suffix)).map((name) => `${folders[index]}/${name}`)
      : [],
  );
  const files = await host.shell.readFiles(paths);
  const texts = new Map<string, [path: string, text: string]>();
  for (const [index, path] of paths.entries()) {
    const file = files[index];
    const name = posix.basename(path);
    if (file?.outcome === 'read' && !texts.has(name)) texts.set(name, [path, Buffer.from(file.bytes).toString()]);
    else if (file?.outcome === 'unreadable') closed.push(`${path}: ${file.because}`);
  }
  return { texts: read([...texts.values()]), unread: closed };
}

function mapped<T, U>(reading: Reading<T>, map: (value: T) => U): Reading<U> {
  return reading.outcome === 'read' ? read(map(reading.value)) : reading;
}
