import { expect, it } from 'vitest';
import { atMost } from './at-most.ts';

it('of many calls a few are under way at a time, in their order, and one that fails holds up no other', async () => {
  const begun: number[] = [];
  let underWay = 0;
  let most = 0;
  const ask = atMost(4, async (number: number) => {
    begun.push(number);
    underWay++;
    most = Math.max(most, underWay);
    await new Promise(setImmediate);
    underWay--;
    if (number === 2) throw new Error('refused');
    return number;
  });
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  const answers = await Promise.allSettled(numbers.map(ask));
  expect(most).toBe(4);
  expect(begun).toEqual(numbers);
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(19);
});
