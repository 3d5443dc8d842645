/** What POST /play answers, and how an address is moved from one grant's token to another's. */

import { callJson } from '../api';
import type { ContentType } from '../catalogue';
import { deviceId, deviceType } from './device';

export interface NextEpisode {
  content_id: string;
  title: string;
  playlist_id: string;
  season_number: number | null;
  episode_number: number | null;
}

export interface Grant {
  session_id: string;
  content_id: string;
  title: string;
  content_type: ContentType;
  token: string;
  manifest_url: string;
  expires_at: string;
  first_use_by: string;
  resume_position_s: number | null;
  duration_s: number | null;
  is_completed: boolean;
  heartbeat: { url: string; interval_s: number };
  thumbnails_url: string | null;
  next_episode: NextEpisode | null;
  limits: { max_height: number | null; max_streams: number | null };
}

/** Asks again by itself while the server is too busy to say. Throws Refusal, or the signal's AbortError. */
export async function askToPlay(contentId: string, playlistId: string | null, signal?: AbortSignal): Promise<Grant> {
  const body = { device_id: deviceId(), device_type: deviceType(), ...(playlistId ? { playlist_id: playlistId } : {}) };
  // Two grants for one device are one stream.
  return await callJson<Grant>(`/play/${contentId}`, signal ? { body, signal, isRepeatable: true } : { body, isRepeatable: true });
}

const UNDER_GRANT = /^(.*?\/hls\/)([^/]+)(\/[^/]+\/[^/]+\/.*)$/;

/** The same object under a newer token. An address that is not below /hls/ stays as it is. */
export function underToken(url: string, token: string): string {
  const parts = UNDER_GRANT.exec(url);
  return parts ? `${parts[1]}${token}${parts[3]}` : url;
}

/** `/hls/{token}/{content}/{generation}/...` -> the generation, which changes when the title was encoded anew. */
export function generationOf(url: string): string | null {
  return /\/hls\/[^/]+\/[^/]+\/([^/]+)\//.exec(url)?.[1] ?? null;
}

/** The address of a sprite named by the previews' VTT, under the grant that counts now. */
export function spriteUrl(grant: Grant, file: string): string | null {
  if (!grant.thumbnails_url) return null;
  const base = new URL(underToken(grant.thumbnails_url, grant.token), location.href);
  const url = new URL(file, base);
  // Only from where the previews came: the text names files, it does not choose servers. Quotes would end the CSS string.
  return url.origin === base.origin ? url.href.replace(/['"()\\]/g, encodeURIComponent) : null;
}
