import { createPaint, wantsColour } from '../../reports/terminal/paint.ts';
import { diagnose } from '../diagnosis/diagnose.ts';
import type { Component } from '../diagnosis/entry.ts';
import { formatDiagnosis, isExplained } from '../diagnosis/text.ts';
import { type KnownVersions, parseVersion } from '../diagnosis/versions.ts';
import { harnessError } from '../errors.ts';
import { EXIT } from './output.ts';
import { nameOf, readInput } from './text-file.ts';

export interface DiagnoseOptions {
  readonly libvirt?: string;
  readonly qemu?: string;
  readonly kernel?: string;
  readonly json?: boolean;
}

const COMPONENTS: readonly Component[] = ['libvirt', 'qemu', 'kernel'];
const MAX_BYTES = 64 * 1024 * 1024;

/** Explains logs. Exit code 1 when something failed and nothing says why. */
export function diagnoseVerb(files: readonly string[], options: DiagnoseOptions): number {
  const versions = givenVersions(options);
  const names = files.length === 0 ? ['-'] : files;
  const decoder = new TextDecoder('utf-8');
  const evidence = names.map((file) => ({ name: nameOf(file), text: decoder.decode(readInput(file, MAX_BYTES)) }));
  const diagnosis = diagnose(evidence, versions);
  const paint = createPaint(wantsColour(process.stdout.isTTY === true, process.env));
  process.stdout.write(options.json ? `${JSON.stringify(diagnosis)}\n` : formatDiagnosis(diagnosis, paint));
  return isExplained(diagnosis) ? EXIT.ok : EXIT.product;
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
