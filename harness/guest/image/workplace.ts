import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

/** Whoever does not say who he is may still be about to. */
async function isOfDeadProcess(place: string): Promise<boolean> {
  try {
    return ownerState(JSON.parse(await readFile(path.join(place, OWNER_FILE), 'utf8')) as Owner) === 'dead';
  } catch {
    return false;
  }
}
