import { formatCommand } from '../../reports/model/text.ts';
import { createPaint, wantsColour } from '../../reports/terminal/paint.ts';
import { diagnose, type Evidence } from '../diagnosis/diagnose.ts';
import type { Component } from '../diagnosis/entry.ts';
import { formatDiagnosis, isExplained } from '../diagnosis/text.ts';
import { type KnownVersions, parseVersion } from '../diagnosis/versions.ts';
import { harnessError } from '../errors.ts';
import { EXIT, say } from './output.ts';
import { nameOf, readInput } from './text-file.ts';

export interface DiagnoseOptions {
  readonly libvirt?: string;
  readonly qemu?: string;
  readonly kernel?: string;
  readonly json?: boolean;
}

const COMPONENTS: readonly Component[] = ['libvirt', 'qemu', 'kernel'];
const MAX_BYTES = 256 * 1024 * 1024;

/** Explains logs. Exit code 1 when something failed and nothing says why. */
export function diagnoseVerb(files: readonly string[], options: DiagnoseOptions): number {
  const versions = givenVersions(options);
  const names = files.length === 0 ? ['-'] : files;
  const evidence = names.map((file) => ({ name: nameOf(file), text: textOf(file) }));
  refuseEmpty(evidence);
  const diagnosis = diagnose(evidence, versions);
  const paint = createPaint(wantsColour(process.stdout.isTTY === true, process.env));
  process.stdout.write(options.json ? `${JSON.stringify(diagnosis)}\n` : formatDiagnosis(diagnosis, paint));
  return isExplained(diagnosis) ? EXIT.ok : EXIT.product;
}

/** A log that says nothing says nothing good either: it may be the wrong one, or one that was rotated. */
function refuseEmpty(evidence: readonly Evidence[]): void {
  const empty = evidence.filter(({ text }) => text.trim() === '').map(({ name }) => name);
  if (empty.length === evidence.length)
    throw harnessError('INPUT_EMPTY', `nothing to judge: ${empty.join(', ')} is empty`, {
      hint: 'A log that was rotated lies beside it (NAME.log.0 of virtlogd, NAME.log.1 or .gz of logrotate). Of a pipe, look whether its first command failed.',
    });
  for (const name of empty) say(`${name} is empty, and says nothing.`);
}

function givenVersions(options: DiagnoseOptions): KnownVersions {
  return Object.fromEntries(
    COMPONENTS.flatMap((component) => {
      const text = options[component];
      if (text === undefined) return [];
      const version = parseVersion(text);
      if (version === undefined)
        throw harnessError('CLI_USAGE', `--${component}: '${text}' is not a version`, {
          hint: `For example --${component} 9.0.0.`,
        });
      return [[component, version]];
    }),
  );
}

/** First bytes of what logrotate and others leave, and what opens it. */
const PACKED: readonly (readonly [magic: string, tool: string])[] = [
  ['1f8b', 'zcat'],
  ['fd377a585a', 'xzcat'],
  ['28b52ffd', 'zstdcat'],
  ['425a68', 'bzcat'],
];
const PROBED_BYTES = 64 * 1024;

/** A crash of the host leaves some NUL bytes in a log; a file of which a tenth is no text is none. */
function textOf(file: string): string {
  const bytes = readInput(file, MAX_BYTES);
  const head = bytes.subarray(0, PROBED_BYTES);
  const hex = Buffer.from(head.subarray(0, 8)).toString('hex');
  const tool = PACKED.find(([magic]) => hex.startsWith(magic))?.[1];
  if (tool !== undefined)
    throw harnessError('INPUT_UNREADABLE', `cannot read ${nameOf(file)}: it is compressed`, {
      hint: `${formatCommand([tool, file])} | npm run --silent diagnose -- -`,
    });
  const controls = head.reduce((count, byte) => count + (byte < 0x20 && !WHITE.includes(byte) ? 1 : 0), 0);
  if (controls * 10 > head.length)
    throw harnessError('INPUT_UNREADABLE', `cannot read ${nameOf(file)}: it is no text`, {
      hint: 'Give the log of the guest (/var/log/libvirt/qemu/NAME.log), of libvirtd or nova, or what dmesg prints.',
    });
  return new TextDecoder('utf-8').decode(bytes);
}

/** Tab, line feed, form feed, carriage return, and the escape of coloured logs. */
const WHITE: readonly number[] = [0x09, 0x0a, 0x0c, 0x0d, 0x1b];
