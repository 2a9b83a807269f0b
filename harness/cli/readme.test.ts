import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');

describe('README', () => {
  it('has a row for each scenario, in and only in the catalogue', () => {
    const rows = [...readme.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id);
    const files = readdirSync(path.join(root, 'scenarios')).flatMap(
      (name) => /^(.*)\.scenario\.ts$/.exec(name)?.[1] ?? [],
    );
    expect(rows.sort()).toEqual(files.sort());
  });

  it('names each command of the program', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const verbs = Object.keys(scripts).filter((name) => / dist\/harness\/cli\/main\.c?js /.test(scripts[name] ?? ''));
    expect(verbs.length).toBeGreaterThan(8);
    for (const verb of verbs) expect(readme).toContain(`\`npm run ${verb} --`.replace(/faults --$/, 'faults'));
  });
});
