// The program once more, as main.cjs: `attest` loads a handful of CommonJS files where the compiled modules are about fifty.
// docs/decisions/0005-attest-start-up.md has the numbers. Every verb but `attest` goes on to the compiled modules.
import path from 'node:path';
import { rolldown } from 'rolldown';

const folder = 'dist/harness/cli';

const bundle = await rolldown({
  input: path.join(folder, 'main.js'),
  platform: 'node',
  preserveEntrySignatures: false,
  external: (id) => id.endsWith('/program.js') || !(id.startsWith('.') || path.isAbsolute(id)),
  // Loaded late by one verb and at once by another: that is how the modules are meant.
  checks: { ineffectiveDynamicImport: false },
});
await bundle.write({
  dir: folder,
  format: 'cjs',
  entryFileNames: 'main.cjs',
  chunkFileNames: 'main-[name].cjs',
  codeSplitting: {
    includeDependenciesRecursively: false,
    // What several verbs use is one file; libvirt's client is as large as all the rest, and few calls need it.
    groups: [{ name: 'shared', minShareCount: 2, test: (id) => !id.includes('/harness/libvirt/') }],
  },
});
await bundle.close();
