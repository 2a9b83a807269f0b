import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { builtinFile, builtinFirmware } from '../qemu/builtin-firmware.ts';
import type { HostImages } from '../qemu/launch-content.ts';

interface Known {
  readonly stamp: string;
  readonly bytes: Uint8Array;
}

/** Files in this process, by path: hosts that are started by the dozen read an image once. */
const known = new Map<string, Known>();

export interface ImageSources {
  /** Where images lie under their whole path or their file name. */
  readonly folder?: string | undefined;
  /** Nothing of this machine: what is installed here changes nothing. */
  readonly isBuiltInOnly?: boolean | undefined;
}

/** The images that guests name: from a folder that was given, else from this machine, else built in. */
export class ImageFiles implements HostImages {
  readonly #sources: ImageSources;

  constructor(sources: ImageSources = {}) {
    this.#sources = sources;
  }

  firmware(filePath: string): Uint8Array {
    return this.#find(filePath) ?? builtinFirmware(filePath);
  }

  file(filePath: string): Uint8Array {
    return this.#find(filePath) ?? builtinFile(filePath);
  }

  #find(filePath: string): Uint8Array | undefined {
    const { folder, isBuiltInOnly } = this.#sources;
    const inFolder =
      folder === undefined ? [] : [path.join(folder, filePath), path.join(folder, path.basename(filePath))];
    for (const candidate of isBuiltInOnly ? inFolder : [...inFolder, filePath]) {
      const bytes = readIfFile(candidate);
      if (bytes) return bytes;
    }
    return undefined;
  }
}

function readIfFile(file: string): Uint8Array | undefined {
  try {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile()) return undefined;
    const stamp = `${stat.mtimeMs} ${stat.size}`;
    const before = known.get(file);
    if (before?.stamp === stamp) return before.bytes;
    const bytes = new Uint8Array(readFileSync(file));
    known.set(file, { stamp, bytes });
    return bytes;
  } catch {
    // Not readable for this user, as kernels often are: the host has its own.
    return undefined;
  }
}
