import type { Component, VersionTriple } from './entry.ts';

export type KnownVersions = Readonly<Partial<Record<Component, VersionTriple>>>;

/** libvirt begins each log of a guest with these, and nova and preflight print the like. */
const PATTERNS: Readonly<Record<Component, RegExp>> = {
  libvirt: /\blibvirt version: (\d+)\.(\d+)\.(\d+)/,
  qemu: /\b(?:qemu|QEMU emulator) version:? (\d+)\.(\d+)\.(\d+)/i,
  kernel: /\bkernel: (\d+)\.(\d+)(?:\.(\d+))?[-,]|Linux version (\d+)\.(\d+)(?:\.(\d+))?/,
};

/** The versions that the texts name themselves; of several the last, which is the most recent start. */
export function readVersions(texts: readonly string[]): KnownVersions {
  const found: Partial<Record<Component, VersionTriple>> = {};
  for (const [component, pattern] of Object.entries(PATTERNS) as [Component, RegExp][]) {
    for (const text of texts) {
      const last = [...text.matchAll(new RegExp(pattern, `${pattern.flags}g`))].at(-1);
      const numbers = last?.slice(1).filter((part) => part !== undefined);
      if (numbers !== undefined) found[component] = triple(numbers);
    }
  }
  return found;
}

/** `9.0.0` or `9.0` as numbers; undefined when it is no version. */
export function parseVersion(text: string): VersionTriple | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?/.exec(text);
  return match === null ? undefined : triple(match.slice(1));
}

/** The QEMU that prints this function name: it was renamed twice. */
export function writtenBy(text: string): string | undefined {
  if (/\bsev_guest_init: /.test(text)) return 'QEMU before 6.0';
  if (/\bsev_kvm_init: /.test(text)) return 'QEMU 6.0 to 9.0';
  return /\bsev_(?:common|snp)_kvm_init: /.test(text) ? 'QEMU 9.1 or later' : undefined;
}

function triple(parts: readonly (string | undefined)[]): VersionTriple {
  return [Number(parts[0] ?? 0), Number(parts[1] ?? 0), Number(parts[2] ?? 0)];
}
