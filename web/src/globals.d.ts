import type Hls from 'hls.js';
import type { session } from './lib/session.svelte';

declare global {
  interface Window {
    /** For diagnostics and end-to-end tests. */
    penstock?: { hls: Hls | null; session: typeof session };
  }
}

export {};
