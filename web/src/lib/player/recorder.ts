/** Turns what a <video> does into beats: when one is due and what it says. Knows the post, not the network. */

import { placeOf, WatchedMeter, type BeatEvent } from './beat';
import { beatPost } from './beat-post';
import { deviceType, newId } from './device';
import type { Grant } from './grant';

/** Scrubbing makes dozens of seeks: one beat when it has come to rest. */
const SEEK_REST_MS = 400;
const LEAVE_ONCE_MS = 500;

/** `seq` goes on when a renewed grant stays in the same playback session. */
const lastSeq = new Map<string, number>();

export class Recorder {
  #meter = new WatchedMeter();
  #hasStarted = false;
  #leftAtMs = -Infinity;
  #seekTimer: ReturnType<typeof setTimeout> | undefined;
  #beatTimer: ReturnType<typeof setInterval>;
  #listening = new AbortController();

  constructor(
    private readonly video: HTMLVideoElement,
    private grant: Grant,
    private readonly userId: string | null,
    private readonly playlistId: string | null,
  ) {
    if (grant.heartbeat.url.startsWith('/')) beatPost.url = grant.heartbeat.url;
    const on = (name: string, act: () => void, target: EventTarget = video): void =>
      target.addEventListener(name, act, { signal: this.#listening.signal });
    on('playing', () => this.#run());
    on('timeupdate', () => this.#look());
    on('ratechange', () => this.#look());
    on('waiting', () => this.#halt());
    on('seeking', () => this.#meter.stop());
    on('seeked', () => this.#rest());
    on('pause', () => this.#paused());
    on('ended', () => this.#say('ended'));
    on('visibilitychange', () => document.visibilityState === 'hidden' && this.#leave(), document);
    on('pagehide', () => this.#leave(), window);
    const intervalMs = Math.min(60, Math.max(1, grant.heartbeat.interval_s)) * 1000;
    this.#beatTimer = setInterval(() => this.#due(), intervalMs);
  }

  /** The same viewing goes on under a new grant; what is queued keeps its old token. */
  renew(grant: Grant): void {
    if (this.#hasStarted) this.#say('beat');
    const isNewSession = grant.session_id !== this.grant.session_id;
    this.grant = grant;
    if (isNewSession && this.#hasStarted) this.#say('start');
  }

  /** Call before moving the position, so that what was played up to here counts. */
  beforeSeek(): void {
    this.#look();
    this.#meter.stop();
  }

  end(): void {
    clearInterval(this.#beatTimer);
    clearTimeout(this.#seekTimer);
    this.#listening.abort();
    this.#halt();
    if (this.#hasStarted && !this.video.ended) this.#say('pause');
  }

  #look(): void {
    if (this.video.seeking) return;
    this.#meter.look(this.video.currentTime, performance.now(), this.video.playbackRate);
  }

  #run(): void {
    if (!this.#meter.isRunning) this.#meter.start(this.video.currentTime, performance.now());
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#say('start');
  }

  #halt(): void {
    this.#look();
    this.#meter.stop();
  }

  #paused(): void {
    this.#halt();
    // The end of a title pauses as well; `ended` says that.
    if (this.#hasStarted && !this.video.ended) this.#say('pause');
  }

  #rest(): void {
    if (!this.video.paused) this.#meter.start(this.video.currentTime, performance.now());
    clearTimeout(this.#seekTimer);
    if (this.#hasStarted) this.#seekTimer = setTimeout(() => this.#say('seek'), SEEK_REST_MS);
  }

  #due(): void {
    if (this.#hasStarted && !this.video.paused && !this.video.ended) this.#say('beat');
  }

  #leave(): void {
    // Closing a tab hides it first and then ends the page: one farewell is enough.
    const now = performance.now();
    if (now - this.#leftAtMs < LEAVE_ONCE_MS) return;
    this.#leftAtMs = now;
    if (this.#hasStarted && !this.video.ended && (!this.video.paused || this.#meter.isRunning)) {
      this.#say('beat', false);
    }
    beatPost.farewell(this.grant.token);
  }

  #say(event: BeatEvent, send = true): void {
    if (event !== 'seek') this.#look();
    const media = Number.isFinite(this.video.duration) ? this.video.duration : 0;
    // While a title is still being encoded its media is shorter than it will be.
    const place = placeOf(this.video.currentTime, Math.max(media, this.grant.duration_s ?? 0));
    if (place.duration_s <= 0) return;
    const seq = (lastSeq.get(this.grant.session_id) ?? 0) + 1;
    lastSeq.set(this.grant.session_id, seq);
    beatPost.push(this.grant.token, this.userId, {
      content_id: this.grant.content_id,
      ...place,
      event,
      seq,
      at: new Date().toISOString(),
      watched_s: this.#meter.take(),
      device_type: deviceType(),
      playlist_id: this.playlistId,
      session_id: this.grant.session_id,
      event_id: newId(),
    });
    if (send) void beatPost.flush();
  }
}
