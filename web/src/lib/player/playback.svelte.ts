/** One title being watched: asks for a grant, runs an engine on the <video>, records beats, and holds what the controls show. */

import { loadPart } from '../api';
import { Refusal } from '../refusal';
import { session } from '../session.svelte';
import { readStored, writeStored } from '../stored';
import type { Engine, EngineEvents, Quality, Track } from './engine';
import { askToPlay, type Grant } from './grant';
import { Recorder } from './recorder';
import { parseSprites, type SpriteCue } from './sprite';

const VOLUME_KEY = 'penstock.volume';
/** A resume point so near the start or the end is none: begin anew. */
const RESUME_EDGE_S = 5;

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2] as const;

export class Playback {
  phase = $state<'asking' | 'open' | 'refused'>('asking');
  refusal = $state.raw<Refusal | null>(null);
  grant = $state.raw<Grant | null>(null);
  paused = $state(true);
  ended = $state(false);
  waiting = $state(true);
  seeking = $state(false);
  hasBegun = $state(false);
  positionS = $state(0);
  durationS = $state(0);
  bufferedS = $state(0);
  dropped = $state(0);
  height = $state(0);
  volume = $state(1);
  muted = $state(false);
  rate = $state(1);
  hasVideo = $state(true);
  qualities = $state.raw<Quality[]>([]);
  /** What the person chose; -1 is automatic. */
  chosen = $state(-1);
  shown = $state(-1);
  audioTracks = $state.raw<Track[]>([]);
  audioTrack = $state(-1);
  textTracks = $state.raw<Track[]>([]);
  textTrack = $state(-1);
  sprites = $state.raw<SpriteCue[]>([]);
  /** How often in a row the network was tried in vain. */
  tries = $state(0);
  /** Where a kept resume point was taken up, to be said once. */
  resumedAtS = $state<number | null>(null);

  #video: HTMLVideoElement | null = null;
  #engine: Engine | null = null;
  #recorder: Recorder | null = null;
  #listening = new AbortController();
  #ticker: ReturnType<typeof setInterval> | undefined;
  #lastText = 0;

  constructor(
    readonly contentId: string,
    readonly playlistId: string | null,
    /** Where an interrupted viewing of this page stood; counts more than the kept resume point. */
    private readonly fromS: number | null = null,
  ) {}

  get qualityText(): string {
    const level = this.qualities.find((q) => q.index === this.shown);
    // A lone media playlist names no bitrate.
    if (!this.hasVideo) return level && level.bitrate_bps > 0 ? `${Math.round(level.bitrate_bps / 1000)} kb/s` : 'audio';
    const height = this.height || level?.height || 0;
    return height > 0 ? `${height}p` : '–';
  }

  async open(video: HTMLVideoElement): Promise<void> {
    this.#video = video;
    this.#listen(video);
    try {
      const grant = await askToPlay(this.contentId, this.playlistId, this.#listening.signal);
      this.grant = grant;
      this.durationS = grant.duration_s ?? 0;
      this.hasVideo = grant.content_type !== 'MUSIC';
      await this.#start(video, grant);
      this.phase = 'open';
      void this.#readSprites(grant);
    } catch (error) {
      if (this.#listening.signal.aborted) return;
      this.#refuse(error instanceof Refusal ? error : new Refusal(500, '', error instanceof Error ? error.message : String(error)));
    }
  }

  close(): void {
    this.#recorder?.end();
    this.#listening.abort();
    clearInterval(this.#ticker);
    this.#engine?.destroy();
    if (window.penstock) window.penstock.hls = null;
  }

  play(): void {
    if (this.ended) this.seek(0);
    this.#video?.play().catch((cause: unknown) => {
      // Without a gesture the browser may refuse: the big button stays.
      if (!(cause instanceof DOMException && cause.name === 'AbortError')) console.info('playback waits for a press', cause);
      this.waiting = false;
    });
  }

  pause(): void {
    this.#video?.pause();
  }

  toggle(): void {
    if (this.paused) this.play();
    else this.pause();
  }

  seek(toS: number): void {
    const video = this.#video;
    if (!video) return;
    const end = Number.isFinite(video.duration) ? video.duration : this.durationS;
    const at = Math.min(Math.max(0, toS), Math.max(0, end));
    this.#recorder?.beforeSeek();
    this.positionS = at;
    video.currentTime = at;
  }

  setVolume(volume: number): void {
    if (!this.#video) return;
    this.#video.volume = Math.min(1, Math.max(0, volume));
    this.#video.muted = this.#video.volume === 0;
  }

  toggleMuted(): void {
    if (!this.#video) return;
    this.#video.muted = !this.#video.muted;
    if (!this.#video.muted && this.#video.volume === 0) this.#video.volume = 0.5;
  }

  setRate(rate: number): void {
    if (this.#video) this.#video.playbackRate = rate;
  }

  choose(quality: number): void {
    this.chosen = quality;
    this.#engine?.choose(quality);
  }

  chooseAudio(track: number): void {
    this.#engine?.chooseAudio(track);
    this.audioTrack = track;
  }

  chooseText(track: number): void {
    if (track >= 0) this.#lastText = track;
    this.#engine?.chooseText(track);
    this.textTrack = track;
  }

  toggleText(): void {
    if (this.textTracks.length === 0) return;
    const wanted = this.textTracks.some((t) => t.index === this.#lastText) ? this.#lastText : (this.textTracks[0]?.index ?? 0);
    this.chooseText(this.textTrack >= 0 ? -1 : wanted);
  }

  async #start(video: HTMLVideoElement, grant: Grant): Promise<void> {
    const kept = this.fromS ?? (grant.is_completed ? 0 : (grant.resume_position_s ?? 0));
    const end = grant.duration_s ?? Infinity;
    const startS = kept > RESUME_EDGE_S && kept < end - RESUME_EDGE_S ? kept : 0;
    this.positionS = startS;
    if (startS > 0) this.resumedAtS = startS;
    this.#recorder = new Recorder(video, grant, session.person?.id ?? null, this.playlistId);
    const { HlsEngine } = await loadPart(() => import('./hls-engine'));
    this.#listening.signal.throwIfAborted();
    const { NativeEngine } = await loadPart(() => import('./native-engine'));
    this.#listening.signal.throwIfAborted();
    if (HlsEngine.isSupported()) this.#engine = new HlsEngine(video, grant, startS, this.#events());
    else if (NativeEngine.isSupported(video)) this.#engine = new NativeEngine(video, grant, startS, this.#events());
    else throw new Refusal(500, '', 'This browser can play neither HLS nor Media Source streams.', 'media');
    if (window.penstock) window.penstock.hls = this.#engine.hls;
    this.play();
  }

  #events(): EngineEvents {
    return {
      qualities: (list) => (this.qualities = list),
      quality: (index) => (this.shown = index),
      audioTracks: (list, current) => ((this.audioTracks = list), (this.audioTrack = current)),
      textTracks: (list, current) => ((this.textTracks = list), (this.textTrack = current)),
      hasVideo: (yes) => (this.hasVideo = yes),
      trouble: (tries) => (this.tries = tries),
      failed: (why) => this.#refuse(why),
      renew: async () => {
        const grant = await askToPlay(this.contentId, this.playlistId, this.#listening.signal);
        this.grant = grant;
        this.#recorder?.renew(grant);
        return grant;
      },
    };
  }

  #refuse(why: Refusal): void {
    this.#video?.pause();
    this.refusal = why;
    this.phase = 'refused';
    this.waiting = false;
  }

  #listen(video: HTMLVideoElement): void {
    const kept = readStored<{ volume: number; muted: boolean }>(VOLUME_KEY);
    if (kept && kept.volume >= 0 && kept.volume <= 1) [video.volume, video.muted] = [kept.volume, kept.muted === true];
    const on = (names: string, act: () => void): void => {
      for (const name of names.split(' ')) video.addEventListener(name, act, { signal: this.#listening.signal });
    };
    on('play pause ended playing', () => ((this.paused = video.paused), (this.ended = video.ended)));
    on('playing', () => ((this.waiting = false), (this.hasBegun = true)));
    on('waiting', () => (this.waiting = true));
    on('canplay', () => (this.waiting = false));
    on('seeking', () => ((this.seeking = true), (this.ended = false)));
    on('seeked', () => (this.seeking = false));
    on('timeupdate seeking seeked', () => (this.positionS = video.currentTime));
    on('durationchange', () => Number.isFinite(video.duration) && (this.durationS = video.duration));
    on('ratechange', () => (this.rate = video.playbackRate));
    on('resize', () => (this.height = video.videoHeight));
    on('volumechange', () => {
      [this.volume, this.muted] = [video.volume, video.muted];
      writeStored(VOLUME_KEY, { volume: video.volume, muted: video.muted });
    });
    [this.volume, this.muted] = [video.volume, video.muted];
    this.#ticker = setInterval(() => this.#measure(video), 500);
  }

  #measure(video: HTMLVideoElement): void {
    const { buffered, currentTime } = video;
    let ahead = 0;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= currentTime + 0.3 && buffered.end(i) > currentTime) ahead = buffered.end(i) - currentTime;
    }
    this.bufferedS = ahead;
    this.dropped = video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
  }

  async #readSprites(grant: Grant): Promise<void> {
    if (!grant.thumbnails_url) return;
    try {
      const response = await fetch(grant.thumbnails_url, { signal: this.#listening.signal });
      if (response.ok) this.sprites = parseSprites(await response.text());
    } catch (cause) {
      if (!this.#listening.signal.aborted) console.info('no previews on the seek bar', cause);
    }
  }
}
