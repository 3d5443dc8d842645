import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Reach, waitToLook } from '../src/lib/reach';

describe('how long a look for the server is waited for', () => {
  it('doubles up to a quarter of a minute, and is never the same for all', () => {
    expect([0, 1, 2, 3, 4, 9].map((failures) => waitToLook(failures, 0))).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000]);
    expect(waitToLook(0, 1)).toBe(1500);
    expect(waitToLook(99, 1)).toBe(22_500);
  });
});

describe('a server that is away', () => {
  let isUp = false;
  let looks = 0;

  beforeEach(() => {
    isUp = false;
    looks = 0;
    vi.useFakeTimers();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    vi.stubGlobal('fetch', async () => {
      looks += 1;
      if (!isUp) throw new TypeError('no answer');
      return new Response('{}');
    });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it('is looked for until it answers, and then everybody is told once', async () => {
    const reach = new Reach();
    const seen: (boolean | string)[] = [];
    reach.onchange((isAway) => seen.push(isAway));
    reach.onreturn(() => seen.push('back'));
    reach.lost();
    reach.lost();
    await vi.advanceTimersByTimeAsync(1000 + 2000 + 4000);
    expect([looks, ...seen]).toEqual([3, false, true]);
    isUp = true;
    await vi.advanceTimersByTimeAsync(8000);
    expect([looks, ...seen]).toEqual([4, false, true, false, 'back']);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(looks).toBe(4);
  });

  it('is looked for at once when the device has a network again', async () => {
    const reach = new Reach();
    const back = vi.fn();
    const leave = reach.onreturn(back);
    reach.hurry();
    expect(looks).toBe(0);
    reach.lost();
    isUp = true;
    reach.hurry();
    await vi.advanceTimersByTimeAsync(0);
    expect(back).toHaveBeenCalledTimes(1);
    leave();
    reach.lost();
    reach.hurry();
    await vi.advanceTimersByTimeAsync(0);
    expect(back).toHaveBeenCalledTimes(1);
  });

  it('that comes and goes is asked more and more seldom', async () => {
    const reach = new Reach();
    isUp = true;
    reach.onreturn(() => reach.lost());
    reach.lost();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(looks).toBeLessThan(8);
  });

  it('that stands still is given up after a while and asked again', async () => {
    vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
      looks += 1;
      return new Promise((_resolve, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)));
    });
    const reach = new Reach();
    reach.lost();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(looks).toBeGreaterThan(2);
    expect(reach.isAway).toBe(true);
  });
});
