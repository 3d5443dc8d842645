/** The one place that calls the server: keys, access token, one retry after a stale token, errors as Refusal. */

import { Refusal, refusalOf, waitToAsk } from './refusal';

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
  installation ??= fetchOrRefuse('/config.json', {})
    .then((response) => response.json() as Promise<Installation>)
    .catch((cause: unknown) => {
      installation = null;
      throw cause;
    });
  return installation;
}

async function fetchOrRefuse(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new Refusal(0, '', cause instanceof Error ? cause.message : 'No answer.');
  }
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
      return await fetchOrRefuse(path, init);
    } catch (error) {
      const waitMs = isRepeatable ? waitToAsk(error, tried) : null;
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

/** Headers for a client that makes its own requests (tus). */
export async function authHeaders(): Promise<Record<string, string>> {
  const { anon_key } = await readInstallation();
  const token = await tokens();
  return token ? { apikey: anon_key, Authorization: `Bearer ${token}` } : { apikey: anon_key };
}
