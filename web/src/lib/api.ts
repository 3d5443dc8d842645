/** The one place that calls the server: keys, access token, one retry after a stale token, errors as Refusal. */

import { reach } from './reach';
import { LATE, Refusal, refusalOf, waitToAsk } from './refusal';

export interface Installation {
  anon_key: string;
  name: string;
  version: string;
}

/** Gives the access token (refreshed when it is about to end), or null for a guest; `force` asks for a new one. */
export type TokenSource = (force?: boolean) => Promise<string | null>;

let tokens: TokenSource = async () => null;

export function useTokens(source: TokenSource): void {
  tokens = source;
}

let installation: Promise<Installation> | null = null;

export function readInstallation(): Promise<Installation> {
  installation ??= fetchPatiently('/config.json', {}, true)
    .then((response) => response.json() as Promise<Installation>)
    .catch((cause: unknown) => {
      installation = null;
      throw cause;
    });
  return installation;
}

/** A server that stands still takes connections and never answers: the browser alone would wait for it without end. */
const ANSWER_MS = 30_000;
/** What may count twice leaves a doubt when its answer is not waited for. */
const CHANGE_MS = 60_000;

/** The whole answer, body and all: Refusal LATE after `withinMs`. */
async function fetchWhole(path: string, init: RequestInit, withinMs: number): Promise<Response> {
  const hanging = new AbortController();
  const leave = (): void => hanging.abort(init.signal?.reason);
  let isLate = false;
  const timer = setTimeout(() => ((isLate = true), hanging.abort()), withinMs);
  init.signal?.addEventListener('abort', leave);
  try {
    init.signal?.throwIfAborted();
    const response = await fetch(path, { ...init, signal: hanging.signal });
    const body = await response.arrayBuffer();
    return new Response(body.byteLength > 0 ? body : null, response);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    if (isLate) throw new Refusal(0, LATE, 'No answer in time.');
    throw new Refusal(0, '', cause instanceof Error ? cause.message : 'No answer.');
  } finally {
    clearTimeout(timer);
    init.signal?.removeEventListener('abort', leave);
  }
}

async function fetchOrRefuse(path: string, init: RequestInit, withinMs: number): Promise<Response> {
  const response = await fetchWhole(path, init, withinMs);
  if (!response.ok) throw await refusalOf(response);
  return response;
}

export interface CallOptions {
  method?: string;
  body?: unknown;
  /** false: the public key only, whoever is signed in. */
  signed?: boolean;
  /** Instead of the person's access token. */
  bearer?: string;
  signal?: AbortSignal;
  keepalive?: boolean;
  /** Ask again by itself while the server is too busy: what changes nothing always does; a change only where doing it twice is doing it once. */
  isRepeatable?: boolean;
}

function initOf(options: CallOptions, headers: Record<string, string>): RequestInit {
  const init: RequestInit = { method: options.method ?? (options.body === undefined ? 'GET' : 'POST'), headers };
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  if (options.signal) init.signal = options.signal;
  if (options.keepalive) init.keepalive = true;
  return init;
}

async function fetchPatiently(path: string, init: RequestInit, isRepeatable: boolean): Promise<Response> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await fetchOrRefuse(path, init, isRepeatable ? ANSWER_MS : CHANGE_MS);
    } catch (error) {
      const waitMs = isRepeatable ? waitToAsk(error, tried) : null;
      // One that is only busy now is asked again first.
      if (error instanceof Refusal && error.isAway && (waitMs === null ? isRepeatable || error.status !== 503 : error.code === LATE)) reach.lost();
      if (waitMs === null) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      init.signal?.throwIfAborted();
    }
  }
}

export async function call(path: string, options: CallOptions = {}): Promise<Response> {
  const { anon_key } = await readInstallation();
  const headers: Record<string, string> = { apikey: anon_key, Accept: 'application/json' };
  const mayRefresh = options.signed !== false && options.bearer === undefined;
  const token = mayRefresh ? await tokens() : options.bearer;
  if (token) headers['Authorization'] = `Bearer ${token}`;
  const ask = (): Promise<Response> => fetchPatiently(path, initOf(options, headers), options.isRepeatable ?? (options.method ?? (options.body === undefined ? 'GET' : 'POST')) === 'GET');
  try {
    return await ask();
  } catch (error) {
    const isStale = error instanceof Refusal && error.status === 401 && (error.code === 'PS302' || error.code === 'PS303');
    if (!mayRefresh || !token || !isStale) throw error;
    const fresh = await tokens(true);
    if (!fresh) throw error;
    headers['Authorization'] = `Bearer ${fresh}`;
    return await ask();
  }
}

export async function callJson<T>(path: string, options: CallOptions = {}): Promise<T> {
  const response = await call(path, options);
  return (await response.json()) as T;
}

/** Between two loads of the page for one part: an installation that lacks it must not be asked without end. */
const RELOAD_MS = 10_000;

/**
 * A part of the pages that is loaded when it is needed. Throws Refusal when it does not come: the server is away, or has
 * other pages by now. Chromium keeps such a failure for as long as the page lives, so the page is loaded anew when the server is back.
 */
export async function loadPart<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    reach.onreturn(() => setTimeout(() => location.reload(), Math.max(0, RELOAD_MS - performance.now())));
    reach.lost();
    throw new Refusal(0, '', cause instanceof Error ? cause.message : 'A part of the page did not come.');
  }
}

/** Headers for a client that makes its own requests (tus). */
export async function authHeaders(): Promise<Record<string, string>> {
  const { anon_key } = await readInstallation();
  const token = await tokens();
  return token ? { apikey: anon_key, Authorization: `Bearer ${token}` } : { apikey: anon_key };
}
