import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWholeFile } from './files.ts';
import { type Host, openHost } from './host.ts';
import { sortLoaders } from './loaders.ts';
import { parseHostName } from './name.ts';
import type { FileReading, HostShell } from './shell.ts';

const UNREADABLE: FileReading = { outcome: 'unreadable', because: 'EACCES' };

let host: Host;
/** Builds of OVMF: one for any guest, and one that starts only what was measured. */
let usual: FileReading;
let amdSev: FileReading;

beforeAll(async () => {
  host = await openHost(parseHostName('fake:naples'), { hasBuiltInImagesOnly: true });
  usual = await readWholeFile(host.shell, '/usr/share/OVMF/OVMF_CODE_4M.fd');
  amdSev = await readWholeFile(host.shell, '/usr/share/ovmf/OVMF.amdsev.fd');
});
afterAll(() => host?.close());

/** A shell with these files and nothing else; `read` tells which were looked into. */
function shellWith(files: Readonly<Record<string, FileReading>>) {
  const read: string[] = [];
  const shell: HostShell = {
    ...host.shell,
    readFile: async (path) => {
      read.push(path);
      return files[path] ?? { outcome: 'absent' };
    },
  };
  return { shell, read };
}

describe('what libvirt offers for pflash', () => {
  it("is Debian's: without Secure Boot comes first, and nothing more is read", async () => {
    const folder = '/usr/share/OVMF';
    const { shell, read } = shellWith({ [`${folder}/OVMF_CODE_4M.fd`]: usual });
    const offered = ['ms', 'secboot'].map((form) => `${folder}/OVMF_CODE_4M.${form}.fd`);
    expect(await sortLoaders(shell, [...offered, `${folder}/OVMF_CODE_4M.fd`])).toEqual({
      loaders: [`${folder}/OVMF_CODE_4M.fd`, ...offered],
      refusedLoaders: {},
    });
    expect(read).toEqual([`${folder}/OVMF_CODE_4M.fd`]);
  });

  it("is Fedora's: qcow2 images are refused with their names, raw ones are not", async () => {
    const folder = '/usr/share/edk2/ovmf';
    const offered = ['OVMF_CODE_4M.secboot.qcow2', 'OVMF_CODE.secboot.fd', 'OVMF_CODE_4M.qcow2', 'OVMF_CODE.fd'];
    const { shell } = shellWith({ [`${folder}/OVMF_CODE.fd`]: usual });
    const { loaders, refusedLoaders } = await sortLoaders(
      shell,
      offered.map((name) => `${folder}/${name}`),
    );
    expect(loaders).toEqual([`${folder}/OVMF_CODE.fd`, `${folder}/OVMF_CODE.secboot.fd`]);
    expect(refusedLoaders).toEqual({
      [`${folder}/OVMF_CODE_4M.secboot.qcow2`]: 'qcow2, and our guests have raw flash',
      [`${folder}/OVMF_CODE_4M.qcow2`]: 'qcow2, and our guests have raw flash',
    });
  });

  it.each([
    ['can be read', () => amdSev],
    ['cannot be read', () => UNREADABLE],
  ])("is RHEL 9.0's: an AmdSev build that %s comes last", async (_, reading) => {
    const [sev, cc] = ['/usr/share/edk2/ovmf/OVMF.amdsev.fd', '/usr/share/edk2/ovmf/OVMF_CODE.cc.fd'];
    const { shell } = shellWith({ [sev]: reading(), [cc]: usual });
    expect((await sortLoaders(shell, [sev, cc])).loaders).toEqual([cc, sev]);
  });

  it('has an AmdSev build under another name: its table tells, whatever the order', async () => {
    const [sev, code] = ['/usr/share/qemu/ovmf-x86_64-sev.bin', '/usr/share/qemu/ovmf-x86_64-code.bin'];
    const { shell } = shellWith({ [sev]: amdSev, [code]: usual });
    expect((await sortLoaders(shell, [sev, code])).loaders).toEqual([code, sev]);
    expect((await sortLoaders(shell, [sev])).loaders).toEqual([sev]);
  });

  it('may be for other processors, which is refused', async () => {
    const path = '/usr/share/AAVMF/edk2-aarch64-code.fd';
    expect(await sortLoaders(shellWith({}).shell, [path])).toEqual({
      loaders: [],
      refusedLoaders: { [path]: 'not OVMF for x86_64' },
    });
  });
});
