import { describe, expect, it } from 'vitest';
import { faultCatalogue } from '../fakelibvirt/index.ts';
import { assertKnownFaults } from './fault-names.ts';

function hintFor(id: string): string | undefined {
  try {
    assertKnownFaults(['slot-leak-on-kill', id]);
  } catch (error) {
    expect(error).toMatchObject({ code: 'CLI_USAGE', message: expect.stringContaining(`'${id}'`) });
    return (error as { hint?: string }).hint;
  }
  return undefined;
}

describe('assertKnownFaults', () => {
  it('takes every fault of the catalogue', () => {
    expect(() => assertKnownFaults(faultCatalogue.map((fault) => fault.id))).not.toThrow();
  });

  it('names those that share a word with an unknown one, and no others', () => {
    expect(hintFor('stop-events-lost')).toBe('Alike: stop-event-lost, refusal-text-lost.');
  });

  it('names all where none is alike', () => {
    expect(hintFor('nope')).toMatch(/^Faults: slot-leak-on-destroy, .*stop-event-lost/);
  });
});
