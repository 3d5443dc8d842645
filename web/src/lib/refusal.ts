/** A "no" from the server, and how it is said to a person. Knows the error body of docs/http-api.md, no page. */

export interface Fault {
  path: string;
  why: string;
}

export interface RefusalBody {
  code?: string;
  message?: string;
  msg?: string;
  hint?: string | null;
  reason?: string;
  fields?: Fault[];
  devices?: unknown;
}

/** Status 0 means that no answer came: no network, or the server is away. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly reason: string | null = null,
    readonly fields: readonly Fault[] = [],
    readonly retryAfterS: number | null = null,
    readonly requestId: string | null = null,
    readonly devices: readonly string[] = [],
  ) {
    super(message);
    this.name = 'Refusal';
  }

  get isOffline(): boolean {
    return this.status === 0;
  }

  /** The server as a whole is away, or a proxy says so for it: what was asked works again when it is back. */
  get isAway(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  /** Worth trying again by itself: no answer, too many requests, or a failure of the server's. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** `Retry-After` as seconds: delta-seconds or an HTTP date. */
export function readRetryAfter(header: string | null, nowMs: number): number | null {
  if (!header) return null;
  if (/^\s*\d+\s*$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - nowMs) / 1000));
}

function namesOf(devices: unknown): string[] {
  if (!Array.isArray(devices)) return [];
  return devices
    .map((d: unknown) => {
      if (typeof d === 'string') return d;
      if (d === null || typeof d !== 'object') return '';
      const named = d as Record<string, unknown>;
      return String(named['device_type'] ?? named['name'] ?? named['title'] ?? '');
    })
    .filter(Boolean);
}

export async function refusalOf(response: Response): Promise<Refusal> {
  let body: RefusalBody = {};
  try {
    body = (await response.json()) as RefusalBody;
  } catch (cause) {
    // A proxy in between may answer with HTML; the status still says enough.
    console.debug('an error answer was not JSON', cause);
  }
  return new Refusal(
    response.status,
    body.code ?? '',
    body.message ?? body.msg ?? `The server answered ${response.status}.`,
    body.reason ?? null,
    Array.isArray(body.fields) ? body.fields : [],
    readRetryAfter(response.headers.get('Retry-After'), Date.now()),
    response.headers.get('X-Request-Id'),
    namesOf(body.devices),
  );
}

const BUSY_TRIES = 4;
const LONGEST_WAIT_S = 5;

/** The `code` of a refusal for which nobody answered in time. */
export const LATE = 'late';

/** Milliseconds until asking again, or null when the person has to know. Only for a server that says it is too busy now, or says nothing: it has given nothing away. */
export function waitToAsk(error: unknown, tried: number): number | null {
  if (!(error instanceof Refusal) || tried >= BUSY_TRIES) return null;
  if (error.code === LATE) return 0;
  if (error.status !== 503) return null;
  return Math.min(error.retryAfterS ?? tried, LONGEST_WAIT_S) * 1000;
}

const OFFLINE = 'The server cannot be reached. Check your connection; nothing is lost.';

/** One or two plain sentences for a person; never empty. */
export function inWords(error: unknown): string {
  if (!(error instanceof Refusal)) return error instanceof Error ? error.message : 'Something went wrong.';
  if (error.isOffline) return OFFLINE;
  if (error.status === 429) {
    return error.retryAfterS ? `Too many tries. Try again in ${error.retryAfterS} s.` : 'Too many tries. Wait a little and try again.';
  }
  const fault = error.fields[0];
  if (fault && error.code === 'PS102') return `${fault.path}: ${fault.why}`;
  if (error.status >= 500 && error.requestId) return `${error.message} (request ${error.requestId})`;
  return error.message;
}
