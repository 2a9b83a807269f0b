import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { errorText, isSevHarnessError } from '../../core/errors.ts';
import { isOutOfRoom, NOT_WRITTEN_HINT, reportError, unwritableHint } from '../errors.ts';
import { makeFolder } from './folder.ts';
import { type EventLog, openEventLog, parseEventLines } from './jsonl.ts';
import { isProcessAlive, startTicksOf } from './process.ts';
import { type EvidenceItem, SLOT_TIMELINE_TYPE } from './run.ts';

const EVENTS_FILE = 'run.jsonl';
const ARTIFACTS = 'artifacts';
/** Names the process that writes the folder, and when it started. */
const IN_USE = '.in-use';
/** What a report folder holds by name; all of it is replaced by the next run. */
const OWN_FILES = [EVENTS_FILE, 'run.json', 'index.html', 'junit.xml'];
/** Stands in the first bytes of each file above. */
const OWN_MARK = /sev-harness|"schemaVersion"/;

const INLINE_TEXT_BYTES = 64 * 1024;
const INLINE_PICTURE_BYTES = 256 * 1024;
const INLINE_TIMELINE_BYTES = 8 * 1024 * 1024;

export interface Artifact {
  /** As the reader should know it: `refusal of guest 16`, `console.log`. */
  readonly name: string;
  readonly mediaType: string;
  readonly content: Uint8Array | string;
  /** Goes in front of the file's name. */
  readonly scenario?: string;
}

export interface ReportFolder {
  /** Absolute. */
  readonly path: string;
  readonly events: EventLog;
  /** Replaces whole files, each in one step: a reader sees the old one or the new one. `REPORT_WRITE_FAILED`. */
  write(files: ReadonlyMap<string, string>): void;
  /**
   * The same for the last time: a file that cannot be replaced goes, as what it says of the run is over, and is tried again in
   * the room that this made. `REPORT_WRITE_FAILED`.
   */
  writeLast(files: ReadonlyMap<string, string>): void;
  close(): void;
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The first bytes of a file as text; `undefined` when there is no such file. */
function head(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(4096);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(file);
  }
}

function assertOwn(folder: string): void {
  for (const name of OWN_FILES) {
    const start = head(join(folder, name));
    if (start === undefined || start === '' || OWN_MARK.test(start)) continue;
    throw reportError(
      'REPORT_FOLDER_FOREIGN',
      `report folder ${folder} holds a ${name} that sev-harness did not write, and the report would replace it`,
      { details: { folder, file: name }, hint: 'Give --report a folder of its own.' },
    );
  }
}

/** One run at a time: a second one would remove the first one's evidence. Stays behind after SIGKILL, when its process is dead. */
function occupy(folder: string): void {
  const file = join(folder, IN_USE);
  const claim = `${process.pid} ${startTicksOf(process.pid) ?? ''}\n`;
  try {
    writeFileSync(file, claim, { flag: 'wx', mode: 0o644 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') {
      // On a full disk the file is made, and stays empty.
      release(folder);
      throw error;
    }
    const [pid, startTicks = ''] = readFileSync(file, 'utf8').trim().split(' ');
    const owner = Number(pid);
    if (owner !== process.pid && isProcessAlive(owner, startTicks)) {
      throw reportError(
        'REPORT_FOLDER_BUSY',
        `report folder ${folder} belongs to a run that is going on (process ${owner})`,
        {
          details: { folder, owner },
          hint: `Give --report another folder, or wait. If process ${owner} is no run of ours, remove ${file}.`,
        },
      );
    }
    writeFileSync(file, claim);
  }
}

function release(folder: string): void {
  try {
    unlinkSync(join(folder, IN_USE));
  } catch {
    // It went away with its folder.
  }
}

/** Removes what an earlier run attached here: only files that its own `run.jsonl` lists and that are still as it wrote them. */
function removeOldArtifacts(folder: string): void {
  let listed: EvidenceItem[];
  try {
    const { events } = parseEventLines(readFileSync(join(folder, EVENTS_FILE), 'utf8'), EVENTS_FILE);
    listed = events.flatMap((event) => (event.type === 'evidence' ? [event.evidence] : []));
  } catch {
    return;
  }
  for (const item of listed) {
    if (!/^[\w-][\w.-]*$/.test(item.path)) continue;
    const path = join(folder, ARTIFACTS, item.path);
    try {
      if (!lstatSync(path).isFile() || sha256Hex(readFileSync(path)) !== item.sha256Hex) continue;
      unlinkSync(path);
    } catch {
      // Already gone, or not ours to remove any more.
    }
  }
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function replaceFile(folder: string, name: string, content: string): void {
  const temporary = join(folder, `.${name}.${process.pid}.tmp`);
  try {
    writeFileSync(temporary, content, { mode: 0o644 });
    renameSync(temporary, join(folder, name));
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw reportError('REPORT_WRITE_FAILED', `could not write ${join(folder, name)}: ${errorText(cause)}`, {
      cause,
      details: { folder, file: name },
      hint: NOT_WRITTEN_HINT,
    });
  }
}

function replaceLast(folder: string, files: ReadonlyMap<string, string>): void {
  const failuresOf = (tried: Iterable<readonly [string, string]>) =>
    [...tried].flatMap(([name, content]) => {
      try {
        replaceFile(folder, name, content);
        return [];
      } catch (error) {
        return [{ name, content, error }];
      }
    });
  const stale = failuresOf(files);
  for (const { name } of stale) removeIfThere(join(folder, name));
  const [missing] = failuresOf(stale.map(({ name, content }) => [name, content] as const));
  if (missing !== undefined) throw missing.error;
}

function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Its folder is gone, or nobody may write there any more.
  }
}

/**
 * Makes a folder ready for one run's report, before the run begins.
 *
 * What an earlier run left in it is replaced; nothing else is touched.
 * `REPORT_FOLDER_UNWRITABLE`, `REPORT_FOLDER_FOREIGN`, `REPORT_FOLDER_BUSY`.
 */
export function openReportFolder(folder: string): ReportFolder {
  const path = resolve(folder);
  let isOccupied = false;
  try {
    makeFolder(join(path, ARTIFACTS));
    assertOwn(path);
    occupy(path);
    isOccupied = true;
    removeOldArtifacts(path);
    nextNumbers.clear();
    replaceFile(join(path, ARTIFACTS), 'probe', '');
    unlinkSync(join(path, ARTIFACTS, 'probe'));
    replaceFile(path, EVENTS_FILE, '');
    const events = openEventLog(join(path, EVENTS_FILE));
    return {
      path,
      events,
      write: (files) => {
        for (const [name, content] of files) replaceFile(path, name, content);
      },
      writeLast: (files) => replaceLast(path, files),
      close: () => {
        events.close();
        release(path);
      },
    };
  } catch (cause) {
    if (isOccupied) release(path);
    if (isSevHarnessError(cause, 'REPORT_FOLDER_FOREIGN') || isSevHarnessError(cause, 'REPORT_FOLDER_BUSY'))
      throw cause;
    throw reportError('REPORT_FOLDER_UNWRITABLE', `report folder ${path} cannot be written: ${errorText(cause)}`, {
      cause,
      details: { folder: path },
      hint: unwritableHint('--report', cause),
    });
  }
}

const EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['application/json', 'json'],
  ['application/octet-stream', 'bin'],
  ['application/xml', 'xml'],
  ['image/png', 'png'],
  ['text/plain', 'txt'],
  ['text/xml', 'xml'],
  [SLOT_TIMELINE_TYPE, 'json'],
]);

/** A file name that is safe in a shell, a URL and on any file system, before it is made unique. */
export function artifactFileName(artifact: Pick<Artifact, 'name' | 'mediaType' | 'scenario'>): {
  stem: string;
  extension: string;
} {
  const clean = (text: string) =>
    text
      .replace(/[^A-Za-z0-9._-]+/g, '-')
      .replace(/\.{2,}/g, '.')
      .replace(/^[.-]+|[.-]+$/g, '');
  const name = clean(artifact.name);
  const dot = name.lastIndexOf('.');
  const given = dot > 0 && name.length - dot <= 6 ? name.slice(dot + 1) : undefined;
  const extension = given ?? EXTENSIONS.get(artifact.mediaType.split(';')[0] ?? '') ?? 'bin';
  const scenario = artifact.scenario === undefined ? '' : clean(artifact.scenario).slice(0, 40);
  const own = (given === undefined ? name : name.slice(0, dot)).slice(0, 60).replace(/[.-]+$/, '');
  return { stem: [scenario, own].filter((part) => part !== '').join('-') || 'artifact', extension };
}

function inlineContent(bytes: Buffer, mediaType: string): Pick<EvidenceItem, 'text' | 'base64'> {
  if (mediaType === 'image/png')
    return bytes.length <= INLINE_PICTURE_BYTES ? { base64: bytes.toString('base64') } : {};
  const limit = mediaType === SLOT_TIMELINE_TYPE ? INLINE_TIMELINE_BYTES : INLINE_TEXT_BYTES;
  const isText = /^text\/|[/+](?:json|xml|yaml)\b/.test(mediaType);
  if (!isText || bytes.length > limit) return {};
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? { text } : {};
}

/** Where the search for a free name goes on, so that a thousand files of one name are not a thousand tries each. */
const nextNumbers = new Map<string, number>();

/**
 * Keeps evidence as a file below `artifacts/` of an open report folder, under a name of its own.
 *
 * Any process may call it: names are taken by creating them. `REPORT_WRITE_FAILED`.
 */
export function attachArtifact(folder: string, artifact: Artifact): EvidenceItem {
  const bytes = Buffer.from(artifact.content);
  const { stem, extension } = artifactFileName(artifact);
  const key = join(folder, `${stem}.${extension}`);
  for (let number = nextNumbers.get(key) ?? 1; ; number += 1) {
    const path = `${stem}${number === 1 ? '' : `-${number}`}.${extension}`;
    try {
      writeFileSync(join(folder, ARTIFACTS, path), bytes, { flag: 'wx', mode: 0o644 });
    } catch (cause) {
      if (errorCode(cause) === 'EEXIST') continue;
      throw reportError('REPORT_WRITE_FAILED', `could not keep evidence '${artifact.name}': ${errorText(cause)}`, {
        cause,
        details: { folder, name: artifact.name },
        ...(isOutOfRoom(cause) ? { hint: NOT_WRITTEN_HINT } : {}),
      });
    }
    nextNumbers.set(key, number + 1);
    return {
      path,
      name: artifact.name,
      mediaType: artifact.mediaType,
      bytes: bytes.length,
      sha256Hex: sha256Hex(bytes),
      ...inlineContent(bytes, artifact.mediaType),
    };
  }
}
