import type { ScenarioContext } from '../../fixtures/scenario.ts';
import { GuestConsole } from './follow.ts';

/** Follows the console of a guest until the scenario ends; however it ends, what was printed is kept as evidence. */
export async function keepConsole(
  { cleanup, evidence }: Pick<ScenarioContext, 'cleanup' | 'evidence'>,
  guest: Parameters<typeof GuestConsole.follow>[0],
  role: string,
): Promise<GuestConsole> {
  const console = await GuestConsole.follow(guest);
  cleanup.push(`close the console of ${guest.name}`, () => console.close());
  evidence.attachAtEnd(`console of guest ${role}.txt`, () => console.text);
  return console;
}
