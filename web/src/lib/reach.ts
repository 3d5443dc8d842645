/** Whether the server answers. Whoever got no answer says so here, and is told when there is one again. */

const FIRST_MS = 1000;
const MOST_MS = 15_000;
const PROBE_MS = 10_000;
/** Lost again sooner than this after a return: the waits go on growing, so that a server in trouble is not asked without end. */
const STEADY_MS = 60_000;

/** The wait before the next look: doubles from 1 s to 15 s, with up to half of it more, so that not all viewers come back at once. */
export function waitToLook(failures: number, random: number): number {
  return Math.min(MOST_MS, FIRST_MS * 2 ** failures) * (1 + random / 2);
}

export class Reach {
  isAway = false;
  #failures = 0;
  #isLooking = false;
  #backAtMs = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #returned = new Set<() => void>();
  #changed = new Set<(isAway: boolean) => void>();

  /** Calls `act` each time the server is back; what it answers ends that. */
  onreturn(act: () => void): () => void {
    this.#returned.add(act);
    return () => void this.#returned.delete(act);
  }

  /** Calls `act` with whether it is away, now and at each change. */
  onchange(act: (isAway: boolean) => void): () => void {
    this.#changed.add(act);
    act(this.isAway);
    return () => void this.#changed.delete(act);
  }

  /** A request got no answer. From now on the server is looked for. */
  lost(): void {
    if (this.isAway) return;
    if (performance.now() - this.#backAtMs > STEADY_MS) this.#failures = 0;
    this.#say(true);
    this.#wait();
  }

  /** Looks at once, if it is away: the device says that it has a network again. */
  hurry(): void {
    if (this.isAway) void this.#look();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), waitToLook(this.#failures, Math.random()));
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#failures += 1;
    const isBack = await answers();
    this.#isLooking = false;
    if (!isBack) return this.#wait();
    clearTimeout(this.#timer);
    this.#backAtMs = performance.now();
    this.#say(false);
    for (const act of [...this.#returned]) act();
  }

  #say(isAway: boolean): void {
    this.isAway = isAway;
    for (const act of [...this.#changed]) act(isAway);
  }
}

/** Ready, not only alive: a page that is read anew while the database is away would fail again. */
async function answers(): Promise<boolean> {
  const hanging = new AbortController();
  const timer = setTimeout(() => hanging.abort(), PROBE_MS);
  try {
    return (await fetch('/readyz', { cache: 'no-store', signal: hanging.signal })).ok;
  } catch (cause) {
    console.debug('the server does not answer yet', cause);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

export const reach = new Reach();
