/** What a person has watched, page by page. No state. */

import { call } from './api';
import type { Continuing } from './catalogue';

export interface Seen extends Continuing {
  is_completed: boolean;
}

export const FIRST_PAGE = '/me/history?limit=24';

/** The path of `rel="next"` of a `Link` header (RFC 8288); null on the last page. */
export function nextOf(header: string | null): string | null {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(header ?? '')?.[1];
  if (!target) return null;
  const url = new URL(target, 'http://here.invalid');
  return url.pathname + url.search;
}

export async function readHistory(path: string, signal?: AbortSignal): Promise<{ seen: Seen[]; next: string | null }> {
  const response = await call(path, signal ? { signal } : {});
  return { seen: (await response.json()) as Seen[], next: nextOf(response.headers.get('Link')) };
}
