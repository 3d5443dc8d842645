/** The address bar as state. Takes clicks on own links, keeps the scroll place of each history entry. */

export type JobFilter = 'all' | 'open' | 'failed';

export type Route =
  | { name: 'shelf'; query: string }
  | { name: 'watch'; contentId: string; playlistId: string | null }
  | { name: 'studio' }
  | { name: 'jobs'; only: JobFilter }
  | { name: 'job'; jobId: string }
  | { name: 'sign-in'; next: string; mode: 'in' | 'up' }
  | { name: 'recover' }
  | { name: 'new-password' }
  | { name: 'account' }
  | { name: 'invitation'; to: 'workspace' | 'family'; token: string }
  | { name: 'lost'; path: string };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Only a path of ours: a sign-in link must not lead to another site. */
export function ownPath(path: string | null): string {
  return path && /^\/(?![/\\])[^\s\\]*$/.test(path) ? path : '/';
}

export function parseRoute(path: string, search: string): Route {
  const query = new URLSearchParams(search);
  if (path === '/') return { name: 'shelf', query: query.get('q') ?? '' };
  if (path === '/studio' || path === '/studio/') return { name: 'studio' };
  if (path === '/studio/jobs' || path === '/studio/jobs/') {
    const only = query.get('only');
    return { name: 'jobs', only: only === 'open' || only === 'failed' ? only : 'all' };
  }
  const jobId = /^\/studio\/jobs\/([^/]+)\/?$/.exec(path)?.[1];
  if (jobId && UUID.test(jobId)) return { name: 'job', jobId: jobId.toLowerCase() };
  if (path === '/sign-in' || path === '/sign-in/') {
    return { name: 'sign-in', next: ownPath(query.get('next')), mode: query.get('mode') === 'up' ? 'up' : 'in' };
  }
  if (path === '/recover' || path === '/recover/') return { name: 'recover' };
  if (path === '/new-password' || path === '/new-password/') return { name: 'new-password' };
  if (path === '/account' || path === '/account/') return { name: 'account' };
  const invited = /^\/(families\/)?invitations\/?$/.exec(path);
  if (invited) return { name: 'invitation', to: invited[1] ? 'family' : 'workspace', token: query.get('token') ?? '' };
  const contentId = /^\/watch\/([^/]+)\/?$/.exec(path)?.[1];
  if (contentId && UUID.test(contentId)) {
    const playlistId = query.get('playlist');
    return { name: 'watch', contentId: contentId.toLowerCase(), playlistId: playlistId && UUID.test(playlistId) ? playlistId : null };
  }
  return { name: 'lost', path };
}

export function watchPath(contentId: string, playlistId?: string | null): string {
  return playlistId ? `/watch/${contentId}?playlist=${playlistId}` : `/watch/${contentId}`;
}

export function jobPath(jobId: string): string {
  return `/studio/jobs/${jobId}`;
}

export function signInPath(mode: 'in' | 'up' = 'in'): string {
  const here = location.pathname === '/sign-in' ? '/' : location.pathname + location.search;
  return `/sign-in?${mode === 'up' ? 'mode=up&' : ''}next=${encodeURIComponent(here)}`;
}

class Router {
  current = $state.raw<Route>({ name: 'shelf', query: '' });
  /** Counts real page changes (not a changed search word): what moves the focus to the new page. */
  visits = $state(0);

  start(): void {
    history.scrollRestoration = 'manual';
    this.#read();
    addEventListener('popstate', (event) => {
      this.#read();
      const y = (event.state as { y?: number } | null)?.y ?? 0;
      // The page comes from memory in most cases; two frames let it take its height first.
      requestAnimationFrame(() => requestAnimationFrame(() => scrollTo({ top: y, behavior: 'instant' })));
    });
    document.addEventListener('click', (event) => this.#take(event));
  }

  go(path: string, how: 'push' | 'replace' = 'push'): void {
    if (how === 'push') {
      history.replaceState({ y: scrollY }, '');
      history.pushState({ y: 0 }, '', path);
    } else {
      history.replaceState({ y: scrollY }, '', path);
    }
    const before = this.current.name;
    this.#read();
    if (how === 'push' || before !== this.current.name) scrollTo({ top: 0, behavior: 'instant' });
  }

  #read(): void {
    const next = parseRoute(location.pathname, location.search);
    if (next.name !== this.current.name || next.name === 'watch' || next.name === 'job') this.visits += 1;
    this.current = next;
  }

  #take(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (link.hash && link.pathname === location.pathname) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
