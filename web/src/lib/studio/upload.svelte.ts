/** One upload by tus: goes on after a lost connection, and after a reload when the same file is chosen again. */

import { authHeaders } from '../api';
import type { ContentType } from '../catalogue';
import { metadataOf, type Choices } from './choices';

export interface Draft {
  title: string;
  contentType: ContentType;
  description: string;
  isFree: boolean;
  encoding: Choices;
}

const CHUNK_BYTES = 8 * 1024 * 1024;
/** Speed is that of the last few seconds: one chunk more or less does not make it jump. */
const SPEED_WINDOW_MS = 6000;

/** `A_great-film.2024.mkv` -> `A great film 2024`. */
export function titleOfFile(name: string): string {
  const stem = name.replace(/\.[^.]{1,5}$/, '').replace(/[._-]+/g, ' ').trim();
  return stem.charAt(0).toUpperCase() + stem.slice(1);
}

/** Bytes per second over samples of [ms, bytes]; null while there is too little to tell. */
export function speedOf(samples: readonly (readonly [number, number])[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last[0] - first[0] < 400) return null;
  return ((last[1] - first[1]) / (last[0] - first[0])) * 1000;
}

export class Upload {
  state = $state<'starting' | 'running' | 'paused' | 'waiting' | 'done' | 'failed'>('starting');
  sentBytes = $state(0);
  speedBps = $state<number | null>(null);
  problem = $state<string | null>(null);
  /** Where an earlier, interrupted upload of the same file was taken up. */
  resumedFromBytes = $state(0);
  fileId = $state<string | null>(null);

  #tus: import('tus-js-client').Upload | null = null;
  #samples: [number, number][] = [];

  constructor(
    readonly file: File,
    readonly draft: Draft,
    private readonly onDone: (fileId: string | null) => void,
  ) {}

  get fraction(): number {
    return this.file.size > 0 ? this.sentBytes / this.file.size : 0;
  }

  get leftS(): number | null {
    return this.speedBps && this.speedBps > 0 ? (this.file.size - this.sentBytes) / this.speedBps : null;
  }

  async start(): Promise<void> {
    this.state = 'starting';
    this.problem = null;
    try {
      const tus = await import('tus-js-client');
      const upload = this.#tus ?? this.#make(tus);
      this.#tus = upload;
      const earlier = await upload.findPreviousUploads();
      const newest = earlier.sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime))[0];
      if (newest) upload.resumeFromPreviousUpload(newest);
      upload.start();
      this.state = 'running';
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  async pause(): Promise<void> {
    await this.#tus?.abort();
    this.#samples = [];
    this.speedBps = null;
    this.state = 'paused';
  }

  /** Tells the server to forget it. */
  async giveUp(): Promise<void> {
    try {
      await this.#tus?.abort(true);
    } catch (cause) {
      console.info('the server drops the upload by itself later', cause);
    }
  }

  #make(tus: typeof import('tus-js-client')): import('tus-js-client').Upload {
    const { title, contentType, description, isFree, encoding } = this.draft;
    return new tus.Upload(this.file, {
      endpoint: '/storage/v1/upload/resumable',
      chunkSize: CHUNK_BYTES,
      retryDelays: [0, 1000, 2000, 4000, 8000, 8000, 8000, 15_000, 15_000, 30_000, 30_000, 60_000],
      removeFingerprintOnSuccess: true,
      metadata: {
        filename: this.file.name,
        title,
        content_type: contentType,
        is_free: String(isFree),
        ...(description ? { description } : {}),
        ...metadataOf(encoding),
      },
      // A long upload outlives its access token: each request takes the one that counts now.
      onBeforeRequest: async (request) => {
        for (const [name, value] of Object.entries(await authHeaders())) request.setHeader(name, value);
      },
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const again = status === 0 || status === 409 || status === 423 || status === 429 || status >= 500;
        // No room on the disk does not pass by waiting.
        if (again && status !== 507) this.state = 'waiting';
        return again && status !== 507;
      },
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => this.#done(),
      onError: (error) => this.#fail(wordsOf(error)),
    });
  }

  #progress(sentBytes: number): void {
    const now = performance.now();
    if (this.sentBytes === 0 && sentBytes >= CHUNK_BYTES && this.#samples.length === 0) this.resumedFromBytes = sentBytes;
    this.sentBytes = sentBytes;
    this.state = 'running';
    this.#samples = [...this.#samples.filter(([at, bytes]) => now - at < SPEED_WINDOW_MS && bytes <= sentBytes), [now, sentBytes]];
    this.speedBps = speedOf(this.#samples);
  }

  #done(): void {
    this.sentBytes = this.file.size;
    this.state = 'done';
    this.fileId = this.#tus?.url?.replace(/[?#].*$/, '').split('/').filter(Boolean).pop() ?? null;
    this.onDone(this.fileId);
  }

  #fail(why: string): void {
    this.state = 'failed';
    this.problem = why;
  }
}

function wordsOf(error: unknown): string {
  const response = (error as { originalResponse?: { getStatus(): number; getBody(): string } | null }).originalResponse;
  if (!response) return 'The connection was lost for too long. Press “Try again”: it goes on where it stopped.';
  try {
    const body = JSON.parse(response.getBody()) as { message?: string };
    if (body.message) return body.message;
  } catch (cause) {
    console.debug('the refusal was not JSON', cause);
  }
  if (response.getStatus() === 413) return 'The file is larger than this installation accepts.';
  if (response.getStatus() === 403 || response.getStatus() === 401) return 'Your account may not upload here.';
  return `The server answered ${response.getStatus()}.`;
}
