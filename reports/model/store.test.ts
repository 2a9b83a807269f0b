import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import * as runs from '../testing/runs.ts';
import { startTicksOf } from './process.ts';
import { SLOT_TIMELINE_TYPE } from './run.ts';
import { artifactFileName, attachArtifact, openReportFolder } from './store.ts';

let base: { path: string; cleanup(): Promise<void> };
const at = (...parts: string[]) => path.join(base.path, ...parts);

beforeEach(async () => {
  base = await dir({ unsafeCleanup: true });
});
afterEach(() => base.cleanup());

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return isSevHarnessError(error) ? error.code : `no code: ${String(error)}`;
  }
  return 'no error';
}

describe('openReportFolder', () => {
  test('makes the folder and leaves nothing in it but run.jsonl and artifacts', () => {
    openReportFolder(at('a', 'b')).close();
    expect(readdirSync(at('a', 'b')).sort()).toEqual(['artifacts', 'run.jsonl']);
    expect(readdirSync(at('a', 'b', 'artifacts'))).toEqual([]);
  });

  test('a folder that cannot be made is one coded error in one line that names it', () => {
    writeFileSync(at('file'), '');
    expect(codeOf(() => openReportFolder(at('file', 'x')))).toBe('REPORT_FOLDER_UNWRITABLE');
    expect(codeOf(() => openReportFolder(at('file')))).toBe('REPORT_FOLDER_UNWRITABLE');
    expect(() => openReportFolder(at('file', 'x'))).toThrow(/^report folder .*\/file\/x cannot be written: [^\n]+$/);
  });

  test.skipIf(process.platform !== 'linux')('a folder below /proc is refused, not tried for ever', () => {
    expect(codeOf(() => openReportFolder('/proc/sev-harness/report'))).toBe('REPORT_FOLDER_UNWRITABLE');
  });

  test.each(['index.html', 'junit.xml', 'run.json', 'run.jsonl'])("somebody else's %s is not replaced", (name) => {
    writeFileSync(at(name), 'my own work');
    expect(codeOf(() => openReportFolder(base.path))).toBe('REPORT_FOLDER_FOREIGN');
    expect(readFileSync(at(name), 'utf8')).toBe('my own work');
    expect(readdirSync(base.path).filter((entry) => entry.endsWith('.tmp'))).toEqual([]);
  });

  test('of two runs at once the second is refused, and keeps the evidence of the first; a dead one has no claim', () => {
    openReportFolder(base.path);
    const { path: name } = attachArtifact(base.path, { name: 'kept', mediaType: 'text/plain', content: 'a' });
    writeFileSync(at('.in-use'), `${process.ppid}\n`);
    expect(codeOf(() => openReportFolder(base.path))).toBe('REPORT_FOLDER_BUSY');
    expect(existsSync(at('artifacts', name))).toBe(true);
    writeFileSync(at('.in-use'), `${process.ppid} ${startTicksOf(process.ppid)}\n`);
    expect(codeOf(() => openReportFolder(base.path))).toBe('REPORT_FOLDER_BUSY');
    const reused = `${process.ppid} 1\n`;
    for (const left of [`${spawnSync(process.execPath, ['--version']).pid}\n`, reused, '', 'x']) {
      writeFileSync(at('.in-use'), left);
      openReportFolder(base.path).close();
      expect(existsSync(at('.in-use'))).toBe(false);
    }
  });

  test('the next run removes what the last one attached, but nothing that is not as it was', () => {
    const folder = openReportFolder(base.path);
    const [started, ...rest] = runs.oneGreenRun();
    if (started !== undefined) folder.events.append(started);
    const kept = attachArtifact(base.path, { name: 'kept', mediaType: 'text/plain', content: 'a' });
    const changed = attachArtifact(base.path, { name: 'changed', mediaType: 'text/plain', content: 'b' });
    for (const evidence of [kept, changed, { ...kept, path: 'foreign.txt' }]) {
      folder.events.append({ atMs: 1, type: 'evidence', scenario: 'x', attempt: 1, step: 0, evidence });
    }
    expect(rest.length).toBeGreaterThan(0);
    folder.close();
    writeFileSync(at('artifacts', changed.path), 'edited by hand');
    writeFileSync(at('artifacts', 'foreign.txt'), 'foreign');
    writeFileSync(at('notes.md'), 'mine');

    openReportFolder(base.path).close();
    expect(readdirSync(at('artifacts')).sort()).toEqual(['changed.txt', 'foreign.txt']);
    expect(readFileSync(at('notes.md'), 'utf8')).toBe('mine');
    expect(readFileSync(at('run.jsonl'), 'utf8')).toBe('');
  });
});

describe('write', () => {
  test('replaces files whole and leaves no temporary file, also when a target cannot be replaced', () => {
    const folder = openReportFolder(base.path);
    folder.write(new Map([['run.json', 'one']]));
    const before = statSync(at('run.json')).ino;
    folder.write(new Map([['run.json', 'two']]));
    expect(readFileSync(at('run.json'), 'utf8')).toBe('two');
    expect(statSync(at('run.json')).ino).not.toBe(before);
    expect(codeOf(() => folder.write(new Map([['artifacts', 'a file where a folder is']])))).toBe(
      'REPORT_WRITE_FAILED',
    );
    folder.close();
    expect(readdirSync(base.path).sort()).toEqual(['artifacts', 'run.json', 'run.jsonl']);
  });
});

describe('attachArtifact', () => {
  const attach = (name: string, content: string | Uint8Array = 'x', mediaType = 'text/plain') =>
    attachArtifact(base.path, { name, content, mediaType, scenario: 'slot-limit' });

  test('keeps bytes under a name of their own, with hash and size', () => {
    openReportFolder(base.path).close();
    const items = [attach('refusal.txt', 'abc'), attach('refusal.txt', 'abd'), attach('Refusal', 'abe')];
    expect(items.map((item) => item.path)).toEqual([
      'slot-limit-refusal.txt',
      'slot-limit-refusal-2.txt',
      'slot-limit-Refusal.txt',
    ]);
    expect(items[0]).toEqual({
      path: 'slot-limit-refusal.txt',
      name: 'refusal.txt',
      mediaType: 'text/plain',
      bytes: 3,
      sha256Hex: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      text: 'abc',
    });
    expect(readFileSync(at('artifacts', 'slot-limit-refusal-2.txt'), 'utf8')).toBe('abd');
  });

  test('a file that is there already is never overwritten', () => {
    openReportFolder(base.path).close();
    writeFileSync(at('artifacts', 'slot-limit-console.log'), 'foreign');
    expect(attach('console.log', 'ours').path).toBe('slot-limit-console-2.log');
    expect(readFileSync(at('artifacts', 'slot-limit-console.log'), 'utf8')).toBe('foreign');
  });

  test('content stands in the run only where it is small and is what it says', () => {
    openReportFolder(base.path).close();
    expect(attach('big', 'x'.repeat(64 * 1024 + 1))).not.toHaveProperty('text');
    expect(attach('limit', 'x'.repeat(64 * 1024))).toHaveProperty('text');
    expect(attach('timeline', 'x'.repeat(64 * 1024 + 1), SLOT_TIMELINE_TYPE)).toHaveProperty('text');
    expect(attach('bytes', new Uint8Array([0xff, 0xfe]), 'text/plain')).not.toHaveProperty('text');
    expect(attach('blob', 'abc', 'application/octet-stream')).not.toHaveProperty('text');
    expect(attach('picture', new Uint8Array([1, 2, 3]), 'image/png')).toMatchObject({
      base64: 'AQID',
      path: 'slot-limit-picture.png',
    });
    expect(attach('huge', new Uint8Array(256 * 1024 + 1), 'image/png')).not.toHaveProperty('base64');
  });

  test('a name from anywhere stays one safe file name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), fc.string(), (name, mediaType, scenario) => {
        const { stem, extension } = artifactFileName({ name, mediaType, scenario });
        expect(`${stem}.${extension}`).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}$/);
        expect(`${stem}.${extension}`).not.toContain('..');
      }),
    );
    expect(artifactFileName({ name: 'x', mediaType: '__proto__' })).toEqual({ stem: 'x', extension: 'bin' });
    expect(artifactFileName({ name: '../../etc/passwd', mediaType: 'text/plain' })).toEqual({
      stem: 'etc-passwd',
      extension: 'txt',
    });
  });

  test('a folder that went away is a coded error', () => {
    expect(codeOf(() => attach('x'))).toBe('REPORT_WRITE_FAILED');
    expect(existsSync(at('artifacts'))).toBe(false);
  });
});
