import { expect, it } from 'vitest';
import { Attempt } from '../src/lib/attempt.svelte';
import { Refusal } from '../src/lib/refusal';

it('what is pressed twice is done once, and is free again afterwards', async () => {
  const attempt = new Attempt();
  let times = 0;
  let end = (): void => undefined;
  const what = (): Promise<void> => ((times += 1), new Promise((resolve) => (end = resolve)));
  const first = attempt.run(what);
  expect(attempt.isBusy).toBe(true);
  expect(await attempt.run(what)).toBe(false);
  end();
  expect([await first, attempt.isBusy, times]).toEqual([true, false, 1]);
});

it('a failure is said in words until the next try', async () => {
  const attempt = new Attempt();
  const fail = (): Promise<void> => Promise.reject(new Refusal(422, 'PS566', 'The password is too short.'));
  expect(await attempt.run(fail)).toBe(false);
  expect([attempt.problem, attempt.isBusy]).toEqual(['The password is too short.', false]);
  expect(await attempt.run(fail, () => null)).toBe(false);
  expect(attempt.problem).toBe(null);
  await attempt.run(fail);
  expect(await attempt.run(async () => undefined)).toBe(true);
  expect(attempt.problem).toBe(null);
});
