/** What a form does while it asks: one at a time, busy meanwhile, and afterwards the problem in words. */

import { inWords } from './refusal';

export class Attempt {
  isBusy = $state(false);
  problem = $state<string | null>(null);

  /** Whether it was done. Pressed again meanwhile, it does nothing. `wordsOf` may keep a failure to itself: null. */
  async run(what: () => Promise<void>, wordsOf: (error: unknown) => string | null = inWords): Promise<boolean> {
    if (this.isBusy) return false;
    this.isBusy = true;
    this.problem = null;
    try {
      await what();
      return true;
    } catch (error) {
      this.problem = wordsOf(error);
      return false;
    } finally {
      this.isBusy = false;
    }
  }
}
