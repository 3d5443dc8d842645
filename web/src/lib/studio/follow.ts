/** Asks again and again while somebody looks: at once, then after as many milliseconds as the last answer says. */

const AFTER_FAILURE_MS = 3000;

export interface Following {
  /** Asks now, out of turn. */
  again: () => void;
  stop: () => void;
}

/** `ask` resolves to the wait before the next time, or null for never again; what it throws goes to `onfailed`. */
export function follow(ask: (signal: AbortSignal) => Promise<number | null>, onfailed: (error: unknown) => void): Following {
  const leaving = new AbortController();
  const { signal } = leaving;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Only the newest of two that run at once sets the clock. */
  let turn = 0;

  async function look(): Promise<void> {
    clearTimeout(timer);
    const mine = ++turn;
    let waitMs: number | null = AFTER_FAILURE_MS;
    try {
      waitMs = await ask(signal);
    } catch (error) {
      if (signal.aborted) return;
      onfailed(error);
    }
    // A page that nobody sees asks nothing; it does so again as soon as it is seen.
    if (signal.aborted || mine !== turn || waitMs === null || document.hidden) return;
    timer = setTimeout(() => void look(), waitMs);
  }

  document.addEventListener('visibilitychange', () => !document.hidden && void look(), { signal });
  void look();
  return {
    again: () => void look(),
    stop: () => {
      leaving.abort();
      clearTimeout(timer);
    },
  };
}
