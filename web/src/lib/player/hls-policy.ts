/** Which failed request hls.js tries again, and how long it waits. Pure but for the callbacks. */

import type { HlsConfig, LoadPolicy, LoaderResponse, RetryConfig } from 'hls.js';

export interface Judge {
  /** The grant is over: may a new one be tried? Starts it. */
  mayRenew(): boolean;
  /** No answer, or the server's own failure. */
  lost(): void;
}

export type Verdict = 'renew' | 'wait' | 'give-up';

/** What an answer's status says about trying the same address again. */
export function judgeStatus(status: number): Verdict {
  if (status === 401 || status === 410) return 'renew';
  if (status === 0 || status === 408 || status === 429 || status >= 500) return 'wait';
  return 'give-up';
}

function policy(judge: Judge, firstByteMs: number, wholeMs: number): LoadPolicy {
  const shouldRetry = (_: RetryConfig | null | undefined, count: number, isTimeout: boolean, answer?: LoaderResponse): boolean => {
    if (isTimeout) {
      judge.lost();
      // A stalled request is better asked again at another quality than for ever at this one.
      return count < 3;
    }
    switch (judgeStatus(answer?.code ?? 0)) {
      case 'renew':
        return judge.mayRenew();
      case 'wait':
        judge.lost();
        return true;
      case 'give-up':
        return false;
    }
  };
  const retry: RetryConfig = { maxNumRetry: Infinity, retryDelayMs: 1000, maxRetryDelayMs: 4000, backoff: 'exponential', shouldRetry };
  return { default: { maxTimeToFirstByteMs: firstByteMs, maxLoadTimeMs: wholeMs, timeoutRetry: { ...retry, retryDelayMs: 0 }, errorRetry: retry } };
}

export function patientPolicies(
  judge: Judge,
): Pick<HlsConfig, 'manifestLoadPolicy' | 'playlistLoadPolicy' | 'fragLoadPolicy'> {
  return {
    manifestLoadPolicy: policy(judge, 10_000, 20_000),
    playlistLoadPolicy: policy(judge, 10_000, 20_000),
    fragLoadPolicy: policy(judge, 12_000, 90_000),
  };
}

/** The JSON body of a refused request of hls.js, whatever type it was asked for. */
export function bodyOfXhr(xhr: unknown): Record<string, unknown> {
  if (!(xhr instanceof XMLHttpRequest)) return {};
  try {
    const raw: unknown = xhr.response;
    const text = raw instanceof ArrayBuffer ? new TextDecoder().decode(raw) : typeof raw === 'string' ? raw : '';
    const body: unknown = text ? JSON.parse(text) : {};
    return body !== null && typeof body === 'object' ? (body as Record<string, unknown>) : {};
  } catch (cause) {
    console.debug('a refusal had no JSON body', cause);
    return {};
  }
}
