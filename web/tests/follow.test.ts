import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { follow, type Following } from '../src/lib/studio/follow';

/** A page that can be hidden. */
class Page extends EventTarget {
  hidden = false;
  show(isShown: boolean): void {
    this.hidden = !isShown;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

let page: Page;
let following: Following | null;

beforeEach(() => {
  vi.useFakeTimers();
  page = new Page();
  vi.stubGlobal('document', page);
  following = null;
});

afterEach(() => {
  following?.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('following', () => {
  it('asks at once, then as often as the answers say, until one says never', async () => {
    const waits = [1000, 5000, null];
    const ask = vi.fn(async () => waits.shift() ?? null);
    following = follow(ask, () => undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect(ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(ask).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(4999);
    expect(ask).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it('tells of a failure and asks again', async () => {
    const failed = vi.fn();
    const ask = vi.fn(async () => 1000).mockRejectedValueOnce(new Error('away'));
    following = follow(ask, failed);
    await vi.advanceTimersByTimeAsync(3000);
    expect(failed).toHaveBeenCalledTimes(1);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('asks nothing while nobody looks, and at once when somebody does', async () => {
    const ask = vi.fn(async () => 1000);
    page.hidden = true;
    following = follow(ask, () => undefined);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ask).toHaveBeenCalledTimes(1);
    page.show(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('a question that is overtaken does not set a second clock', async () => {
    const ends: (() => void)[] = [];
    const ask = vi.fn(() => new Promise<number>((resolve) => ends.push(() => resolve(1000))));
    following = follow(ask, () => undefined);
    following.again();
    for (const end of ends) end();
    await vi.advanceTimersByTimeAsync(1000);
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it('after the end nothing is asked, and what was under way tells nobody', async () => {
    const failed = vi.fn();
    let said: AbortSignal | undefined;
    const ask = vi.fn((signal: AbortSignal) => {
      said = signal;
      return new Promise<number>((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    });
    following = follow(ask, failed);
    following.stop();
    page.show(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said?.aborted).toBe(true);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(failed).not.toHaveBeenCalled();
  });
});
