import type { RunEvent } from '../model/events.ts';
import type { HostFacts, ReportedError } from '../model/run.ts';
import { header, naples, slotChurn } from './facts.ts';
import { writeScript } from './script.ts';

/** Strings that would break a page, a table, a terminal, XML or a workflow command. */
export const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(2)>',
  "'</style></svg><!--]]>&amp;&#0;",
  '::error::x\r\n::set-env name=A::b',
  '| a | [x](javascript:alert(3)) `code` **b** #SKIP\n# not ok',
  '\u0000\u0007\u001b[31mred\u001b]0;title\u0007\u0085\u202egnp.exe\ud800\uffff',
  'javascript:alert(4)',
  '\u0024{alert(5)} %0A %s %d',
] as const;

export function hostileRun(): RunEvent[] {
  const all = HOSTILE.join(' ');
  const hostileHost: HostFacts = {
    ...naples,
    name: all,
    hostname: all,
    generation: all,
    versions: { [all]: all, __proto__x: all },
    facts: { [all]: all },
    capabilities: [...HOSTILE],
    notVerified: [...HOSTILE],
  };
  const script = writeScript(
    {
      ...header,
      runId: all,
      host: all,
      command: [...HOSTILE],
      harnessVersion: all,
      platform: all,
      faults: [...HOSTILE],
      required: [...HOSTILE],
    },
    hostileHost,
  );
  const scene = script.scenario({
    id: all,
    title: all,
    source: [...HOSTILE],
    needs: [...HOSTILE],
    maturity: 'stable',
    file: all,
  });
  const error: ReportedError = {
    kind: 'product',
    code: all,
    message: all,
    hint: all,
    stack: all,
    details: { [all]: all },
  };
  scene.step(
    all,
    5,
    (inner) => {
      for (const [index, text] of HOSTILE.entries()) {
        inner.check({
          id: `${text} ${index}`,
          outcome: 'failed',
          title: text,
          expected: text,
          actual: { [text]: [text] },
          because: text,
          source: text,
        });
        inner.check({ id: `skipped ${index}`, outcome: 'skipped', title: text, because: text });
        inner.note(text);
        inner.attach(`${text} ${index}`, 'text/plain', text);
      }
    },
    error,
  );
  scene.timeline({
    pools: [{ name: all, limit: 2 }],
    guests: [{ name: all, pool: all, startMs: 1, endMs: 9, end: 'killed' }],
    refusals: HOSTILE.map((text) => ({ name: text, pool: all, atMs: 5, text })),
  });
  scene.end('failed', { reason: all, error });
  script.scenario({ ...slotChurn, id: `second ${all}` }).end('skipped', { reason: all });
  script.error(error);
  script.leftBehind(all);
  return script.finish(1);
}
