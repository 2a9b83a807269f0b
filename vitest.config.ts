import { existsSync } from 'node:fs';
import path from 'node:path';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../shared');
const haveShared = existsSync(path.join(shared, 'vectors'));

if (!haveShared) {
  const what = `${shared} is missing: tests against real certificates, measurements and recordings (*.vectors.test.ts) cannot run`;
  if (process.env.SEV_HARNESS_REQUIRE_SHARED === '1') throw new Error(what);
  console.warn(`\n! ${what}\n`);
}

const rooms = '{core,attestation,harness,reports,ci}';
const never = ['**/node_modules/**', 'dist/**'];

const unit: TestProjectConfiguration = {
  test: {
    name: 'unit',
    include: [`${rooms}/**/*.test.ts`],
    exclude: [...never, '**/*.vectors.test.ts', '**/*.real.test.ts'],
    pool: 'threads',
    // Tests that start the program compete for two cores.
    testTimeout: 30_000,
  },
};

/** Needs the folder of third-party data beside the checkout; never part of a user's clone. */
const vectors: TestProjectConfiguration = {
  test: { name: 'vectors', include: [`${rooms}/**/*.vectors.test.ts`], exclude: never, testTimeout: 120_000 },
};

/** Needs Debian's libvirtd, virsh, QEMU and Chromium: `npm run test:real` installs and starts them. */
const real: TestProjectConfiguration = {
  test: {
    name: 'real',
    include: [`${rooms}/**/*.real.test.ts`],
    exclude: never,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
};

export default defineConfig({ test: { projects: haveShared ? [unit, vectors, real] : [unit, real] } });
