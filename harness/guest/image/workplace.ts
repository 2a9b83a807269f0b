import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { currentOwner, type Owner, ownerState } from '../ownership.ts';

const PREFIX = 'unfinished-';
const OWNER_FILE = 'owner.json';

/** A folder beside the finished images in which one is made, and that says who makes it. */
export async function openWorkplace(images: string): Promise<string> {
  const place = await mkdtemp(path.join(images, PREFIX));
  await writeFile(path.join(place, OWNER_FILE), JSON.stringify(currentOwner('')));
  return place;
}

/** Removes the workplaces of processes that are dead, and returns their paths. */
export async function sweepWorkplaces(images: string): Promise<string[]> {
  const names = await readdir(images).catch(() => []);
  const swept: string[] = [];
  for (const name of names.filter((one) => one.startsWith(PREFIX))) {
    const place = path.join(images, name);
    if (!(await isOfDeadProcess(place))) continue;
    await rm(place, { recursive: true, force: true });
    swept.push(place);
  }
  return swept;
}

/** Nobody takes as long to say who he is. */
const SAYS_WHO_WITHIN_MS = 60_000;

/** Whoever does not say who he is may still be about to, or was killed before he did. */
async function isOfDeadProcess(place: string): Promise<boolean> {
  try {
    return ownerState(JSON.parse(await readFile(path.join(place, OWNER_FILE), 'utf8')) as Owner) === 'dead';
  } catch {
    const found = await stat(place).catch(() => undefined);
    return found !== undefined && Date.now() - found.mtimeMs > SAYS_WHO_WITHIN_MS;
  }
}
