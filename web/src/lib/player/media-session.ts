/** The keys of keyboards, headphones and lock screens. */

import { posterUrl } from '../catalogue';
import type { Playback } from './playback.svelte';

/** Answers the undoing. */
export function offerControls(playback: Playback, title: string, imageId: string | null): () => void {
  if (!('mediaSession' in navigator)) return () => undefined;
  const media = navigator.mediaSession;
  media.metadata = new MediaMetadata({ title, artwork: imageId ? [{ src: posterUrl(imageId) }] : [] });
  const acts: [MediaSessionAction, MediaSessionActionHandler][] = [
    ['play', () => playback.play()],
    ['pause', () => playback.pause()],
    ['seekbackward', (details) => playback.seek(playback.positionS - (details.seekOffset ?? 10))],
    ['seekforward', (details) => playback.seek(playback.positionS + (details.seekOffset ?? 10))],
    ['seekto', (details) => playback.seek(details.seekTime ?? playback.positionS)],
  ];
  for (const [action, act] of acts) media.setActionHandler(action, act);
  return () => {
    for (const [action] of acts) media.setActionHandler(action, null);
    media.metadata = null;
  };
}
