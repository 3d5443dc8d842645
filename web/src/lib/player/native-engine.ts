/** The browser's own HLS, where Media Source Extensions are missing (older iPhones). It chooses the quality itself. */

import { Refusal } from '../refusal';
import { languageName, patienceMs, RENEWALS_MAX, type Engine, type EngineEvents } from './engine';
import type { Grant } from './grant';

interface NativeAudioTrack {
  label: string;
  language: string;
  enabled: boolean;
}

export class NativeEngine implements Engine {
  readonly hls = null;
  #renewals = 0;
  #isDead = false;
  #listening = new AbortController();

  static isSupported(video: HTMLVideoElement): boolean {
    return video.canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  constructor(
    private readonly video: HTMLVideoElement,
    private grant: Grant,
    startS: number,
    private readonly events: EngineEvents,
  ) {
    const signal = this.#listening.signal;
    video.addEventListener('error', () => void this.#recover(), { signal });
    video.addEventListener('playing', () => ((this.#renewals = 0), events.trouble(0)), { signal });
    video.addEventListener('loadedmetadata', () => this.#report(), { signal });
    video.textTracks.addEventListener('addtrack', () => this.#report(), { signal });
    this.#load(startS);
  }

  choose(): void {
    // The browser decides; the quality menu is not shown.
  }

  chooseAudio(track: number): void {
    this.#audio().forEach((t, index) => (t.enabled = index === track));
    this.#report();
  }

  chooseText(track: number): void {
    this.#text().forEach((t, index) => (t.mode = index === track ? 'showing' : 'disabled'));
    this.#report();
  }

  destroy(): void {
    this.#isDead = true;
    this.#listening.abort();
    this.video.removeAttribute('src');
    this.video.load();
  }

  #load(startS: number): void {
    this.video.src = this.grant.manifest_url;
    if (startS > 0) this.video.addEventListener('loadedmetadata', () => (this.video.currentTime = startS), { once: true });
  }

  #audio(): NativeAudioTrack[] {
    return Array.from((this.video as unknown as { audioTracks?: ArrayLike<NativeAudioTrack> }).audioTracks ?? []);
  }

  #text(): TextTrack[] {
    return Array.from(this.video.textTracks).filter((t) => t.kind === 'subtitles' || t.kind === 'captions');
  }

  #report(): void {
    const named = (t: { label: string; language: string }, index: number): { index: number; label: string } => ({
      index,
      label: t.label || languageName(t.language) || `Track ${index + 1}`,
    });
    const audio = this.#audio();
    this.events.audioTracks(audio.map(named), audio.findIndex((t) => t.enabled));
    const text = this.#text();
    this.events.textTracks(text.map(named), text.findIndex((t) => t.mode === 'showing'));
    this.events.hasVideo(this.video.videoWidth > 0);
  }

  /** The element does not tell the status it got: a new grant settles most of what can have happened. */
  async #recover(): Promise<void> {
    const [at, wasPlaying] = [this.video.currentTime, !this.video.paused];
    if (this.#renewals >= RENEWALS_MAX) {
      this.events.failed(new Refusal(500, '', 'This browser could not play the title.', 'media'));
      return;
    }
    this.#renewals += 1;
    for (let tries = 1; !this.#isDead; tries += 1) {
      try {
        this.grant = await this.events.renew();
        this.#load(at);
        if (wasPlaying) this.video.play().catch((cause: unknown) => console.info('playback waits for a press', cause));
        return;
      } catch (error) {
        if (!(error instanceof Refusal) || !error.isPassing) {
          this.events.failed(error instanceof Refusal ? error : new Refusal(500, '', String(error)));
          return;
        }
        this.events.trouble(tries);
        await new Promise((done) => setTimeout(done, patienceMs(tries)));
      }
    }
  }
}
