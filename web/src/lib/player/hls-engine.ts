/**
 * hls.js with grants. The token is a part of every address, so a renewed grant is put into each request as it is made:
 * the buffer, the picture and the position stay, and the viewer notices nothing.
 */

import Hls, { ErrorTypes, Events, type ErrorData } from 'hls.js';
import workerUrl from 'hls.js/dist/hls.worker.js?url';
import { Refusal } from '../refusal';
import { languageName, patienceMs, qualityLabel, RENEWALS_MAX, type Engine, type EngineEvents } from './engine';
import { generationOf, underToken, type Grant } from './grant';
import { bodyOfXhr, patientPolicies } from './hls-policy';

/** A decoder that fails more often than this within a minute is not helped by trying again. */
const MEDIA_RECOVERIES_MAX = 3;

/** hls.js asks for a missing segment at each quality and then again, without end. */
const MISSING_MAX = 4;

export class HlsEngine implements Engine {
  readonly hls: Hls;
  #renewal: Promise<void> | null = null;
  #renewals = 0;
  #renewedAtMs = -Infinity;
  #missing = 0;
  #tries = 0;
  #recoveries: number[] = [];
  #isDead = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake = (): void => this.#resume();

  static isSupported(): boolean {
    return Hls.isSupported();
  }

  constructor(
    private readonly video: HTMLVideoElement,
    private grant: Grant,
    startS: number,
    private readonly events: EngineEvents,
  ) {
    this.hls = new Hls({
      workerPath: workerUrl,
      startPosition: startS,
      maxBufferLength: 30,
      // Without it hls.js fills 60 MB, which is many minutes of a small picture that may never be watched.
      maxMaxBufferLength: 60,
      backBufferLength: 60,
      abrEwmaDefaultEstimate: 2_000_000,
      enableCEA708Captions: true,
      ...patientPolicies({ mayRenew: () => this.#mayRenew(), lost: () => this.#lost() }),
      xhrSetup: async (xhr, url) => {
        if (this.#renewal) await this.#renewal;
        xhr.open('GET', underToken(url, this.grant.token), true);
      },
    });
    this.#listen();
    this.hls.loadSource(grant.manifest_url);
    this.hls.attachMedia(video);
    addEventListener('online', this.#wake);
  }

  choose(quality: number): void {
    // nextLevel switches at the next segment and keeps what plays; -1 is automatic.
    this.hls.nextLevel = quality;
  }

  chooseAudio(track: number): void {
    this.hls.audioTrack = track;
  }

  chooseText(track: number): void {
    this.hls.subtitleDisplay = track >= 0;
    this.hls.subtitleTrack = track;
  }

  destroy(): void {
    this.#isDead = true;
    clearTimeout(this.#timer);
    removeEventListener('online', this.#wake);
    this.hls.destroy();
  }

  #listen(): void {
    const { hls, events } = this;
    hls.on(Events.MANIFEST_PARSED, (_, data) => {
      const ceiling = this.grant.limits.max_height ?? Infinity;
      const list = hls.levels.map((level, index) => ({
        index,
        height: level.height || 0,
        bitrate_bps: level.bitrate,
        label: qualityLabel(level.height || 0, level.bitrate),
      }));
      const allowed = list.filter((q) => q.height <= ceiling);
      if (allowed.length > 0 && allowed.length < list.length) {
        hls.autoLevelCapping = Math.max(...allowed.map((q) => q.index));
      }
      events.qualities((allowed.length > 0 ? allowed : list).sort((a, b) => b.height - a.height || b.bitrate_bps - a.bitrate_bps));
      events.hasVideo(data.video || hls.levels.some((level) => Boolean(level.videoCodec) || level.height > 0));
    });
    hls.on(Events.LEVEL_SWITCHED, (_, data) => events.quality(data.level));
    hls.on(Events.FRAG_LOADED, () => {
      // Media, not a playlist: only that shows that a renewed grant is really taken.
      this.#renewals = 0;
      this.#missing = 0;
      this.#flows();
    });
    hls.on(Events.LEVEL_LOADED, () => this.#flows());
    const audio = (): void =>
      events.audioTracks(
        hls.audioTracks.map((t, index) => ({ index, label: t.name || languageName(t.lang) || `Track ${index + 1}` })),
        hls.audioTrack,
      );
    hls.on(Events.AUDIO_TRACKS_UPDATED, audio);
    hls.on(Events.AUDIO_TRACK_SWITCHED, audio);
    const text = (): void =>
      events.textTracks(
        hls.subtitleTracks.map((t, index) => ({ index, label: t.name || languageName(t.lang) || `Subtitles ${index + 1}` })),
        hls.subtitleDisplay ? hls.subtitleTrack : -1,
      );
    hls.on(Events.SUBTITLE_TRACKS_UPDATED, text);
    hls.on(Events.SUBTITLE_TRACK_SWITCH, text);
    hls.on(Events.ERROR, (_, data) => this.#judge(data));
  }

  #judge(data: ErrorData): void {
    if (this.#isDead) return;
    const status = data.response?.code ?? 0;
    if (data.type === ErrorTypes.NETWORK_ERROR && status === 403) {
      const body = bodyOfXhr(data.networkDetails);
      const reason = typeof body['reason'] === 'string' ? body['reason'] : 'revoked';
      this.#fail(new Refusal(403, String(body['code'] ?? ''), String(body['message'] ?? 'Access to this title has ended.'), reason));
      return;
    }
    if (data.type === ErrorTypes.NETWORK_ERROR && status === 404 && ++this.#missing > MISSING_MAX) {
      this.#fail(new Refusal(404, '', 'A part of this title is missing on the server.', 'media'));
      return;
    }
    // Policy and error handler see each failure both: a renewal under way is no reason to stop.
    if (data.type === ErrorTypes.NETWORK_ERROR && (status === 401 || status === 410)) {
      if (this.#mayRenew()) {
        if (data.fatal) void this.#renewal?.then(() => this.#resume());
        return;
      }
      this.#fail(new Refusal(410, '', 'The server takes no grant for this title at the moment.', 'expired'));
      return;
    }
    if (!data.fatal) return;
    if (data.type === ErrorTypes.NETWORK_ERROR && status !== 404) {
      this.#lost();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#resume(), patienceMs(this.#tries));
    } else if (data.type === ErrorTypes.MEDIA_ERROR && this.#mayRecover()) {
      this.hls.recoverMediaError();
    } else {
      const part = status === 404 ? 'A part of this title is missing on the server.' : 'This browser could not play the title.';
      this.#fail(new Refusal(status || 500, '', `${part} (${data.details})`, 'media'));
    }
  }

  /** After a stop: loads on from where the picture is, or from the start when not even the manifest came. */
  #resume(): void {
    if (this.#isDead) return;
    clearTimeout(this.#timer);
    if (this.hls.levels.length === 0) this.hls.loadSource(this.grant.manifest_url);
    else this.hls.startLoad(this.video.currentTime > 0 ? this.video.currentTime : -1);
  }

  #lost(): void {
    this.#tries += 1;
    this.events.trouble(this.#tries);
  }

  #flows(): void {
    if (this.#tries === 0) return;
    this.#tries = 0;
    this.events.trouble(0);
  }

  #mayRecover(): boolean {
    const now = performance.now();
    this.#recoveries = this.#recoveries.filter((at) => now - at < 60_000);
    this.#recoveries.push(now);
    return this.#recoveries.length <= MEDIA_RECOVERIES_MAX;
  }

  /** Several requests fail at once when a grant ends: they share one renewal, and late ones use the one just made. */
  #mayRenew(): boolean {
    if (this.#isDead) return false;
    if (this.#renewal || performance.now() - this.#renewedAtMs < 2000) return true;
    if (this.#renewals >= RENEWALS_MAX) return false;
    this.#renewals += 1;
    this.#renewal = this.#renew().finally(() => (this.#renewal = null));
    return true;
  }

  async #renew(): Promise<void> {
    for (let tries = 1; !this.#isDead; tries += 1) {
      try {
        const grant = await this.events.renew();
        const isOther = generationOf(grant.manifest_url) !== generationOf(this.grant.manifest_url);
        this.grant = grant;
        this.#renewedAtMs = performance.now();
        if (isOther) this.#reload();
        return;
      } catch (error) {
        if (!(error instanceof Refusal) || !error.isPassing) {
          this.#fail(error instanceof Refusal ? error : new Refusal(500, '', String(error)));
          return;
        }
        this.#lost();
        await new Promise((done) => setTimeout(done, Math.max(patienceMs(tries), (error.retryAfterS ?? 0) * 1000)));
      }
    }
  }

  /** The title was encoded anew meanwhile: its segments have other names, so the source itself must change. */
  #reload(): void {
    const wasPlaying = !this.video.paused;
    this.hls.config.startPosition = this.video.currentTime;
    this.hls.once(Events.MANIFEST_PARSED, () => {
      if (wasPlaying) this.video.play().catch((cause: unknown) => console.info('playback waits for a press', cause));
    });
    this.hls.loadSource(this.grant.manifest_url);
  }

  #fail(why: Refusal): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.hls.stopLoad();
    this.events.failed(why);
  }
}

