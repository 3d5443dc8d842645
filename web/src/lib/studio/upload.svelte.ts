/** One upload by tus: goes on after a lost connection, and after a reload when the same file is chosen again. */

import * as tus from 'tus-js-client';
import { authHeaders } from '../api';
import type { ContentType } from '../catalogue';
import { reach } from '../reach';
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

/** Quickly at first; then once a minute for a day: a server that is mended overnight still gets the film. */
const RETRY_MS: readonly number[] = [0, 1000, 2000, 4000, 8000, 8000, 8000, 15_000, 15_000, 30_000, 30_000, ...Array<number>(1440).fill(60_000)];
/** A connection over which nothing has gone for so long is given up for a new one; the browser would hold on to it for many minutes. */
export const STALLED_MS = 60_000;
const LOOK_MS = 5000;

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

  #tus: tus.Upload | null = null;
  #samples: [number, number][] = [];
  #movedAtMs = 0;
  #ends: (() => void)[] = [];

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

  /** Closing the tab would break it off. */
  get isUnderWay(): boolean {
    return this.state === 'starting' || this.state === 'running' || this.state === 'waiting';
  }

  async start(): Promise<void> {
    this.#watch();
    this.state = 'starting';
    this.problem = null;
    try {
      const upload = this.#tus ?? this.#make();
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
    this.#rest();
    this.state = 'paused';
    await this.#tus?.abort();
  }

  /** Tells the server to forget it. */
  async giveUp(): Promise<void> {
    this.#rest();
    this.state = 'paused';
    try {
      await this.#tus?.abort(true);
    } catch (cause) {
      console.info('the server drops the upload by itself later', cause);
    }
  }

  /** Notices a connection that stands still, and a server that is back. */
  #watch(): void {
    this.#rest();
    this.#movedAtMs = performance.now();
    const timer = setInterval(() => {
      if (this.state === 'running' && performance.now() - this.#movedAtMs > STALLED_MS) void this.#again();
    }, LOOK_MS);
    this.#ends = [() => clearInterval(timer), reach.onreturn(() => this.state === 'waiting' && void this.#again())];
  }

  #rest(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#samples = [];
    this.speedBps = null;
  }

  /** Over a new connection, from where the server says it stands. */
  async #again(): Promise<void> {
    this.state = 'waiting';
    this.#movedAtMs = performance.now();
    await this.#tus?.abort();
    // Paused or given up meanwhile.
    if (this.isUnderWay) this.#tus?.start();
  }

  #make(): tus.Upload {
    const { title, contentType, description, isFree, encoding } = this.draft;
    return new tus.Upload(this.file, {
      endpoint: '/storage/v1/upload/resumable',
      chunkSize: CHUNK_BYTES,
      retryDelays: [...RETRY_MS],
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
        if (!again || status === 507) return false;
        this.state = 'waiting';
        if (status === 0) reach.lost();
        return true;
      },
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => this.#done(),
      onError: (error) => this.#fail(wordsOf(error)),
    });
  }

  #progress(sentBytes: number): void {
    // A chunk that was under way when it was paused.
    if (!this.isUnderWay) return;
    const now = performance.now();
    this.#movedAtMs = now;
    if (this.sentBytes === 0 && sentBytes >= CHUNK_BYTES && this.#samples.length === 0) this.resumedFromBytes = sentBytes;
    this.sentBytes = sentBytes;
    this.state = 'running';
    this.#samples = [...this.#samples.filter(([at, bytes]) => now - at < SPEED_WINDOW_MS && bytes <= sentBytes), [now, sentBytes]];
    this.speedBps = speedOf(this.#samples);
  }

  #done(): void {
    this.#rest();
    this.sentBytes = this.file.size;
    this.state = 'done';
    this.fileId = this.#tus?.url?.replace(/[?#].*$/, '').split('/').filter(Boolean).pop() ?? null;
    this.onDone(this.fileId);
  }

  #fail(why: string): void {
    this.#rest();
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
