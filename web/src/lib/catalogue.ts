/** What the shelf and the player ask about titles, in PostgREST's dialect. No state. */

import { callJson } from './api';

export type ContentType = 'MOVIE' | 'SERIES' | 'EPISODE' | 'MUSIC' | 'LESSON' | 'PODCAST_EPISODE' | 'LIVE_RECORDING';

export interface Title {
  id: string;
  title: string;
  content_type: ContentType;
  /** Seconds. */
  duration: number | null;
  is_free: boolean;
  is_preview: boolean;
  thumbnail_image_id: string | null;
  description?: string | null;
  published_at?: string | null;
  release_date?: string | null;
  is_published?: boolean;
  genres?: { title: string }[];
  generations?: { height: number | null; has_video: boolean } | null;
}

export interface Episode {
  episode_order: number;
  season_number: number | null;
  episode_number: number | null;
  title: string | null;
  contents: Title | null;
}

export interface Series {
  id: string;
  title: string;
  description: string | null;
  thumbnail_image_id: string | null;
  playlist_episodes: Episode[];
}

export interface Continuing {
  content_id: string;
  title: string;
  content_type: ContentType;
  position_s: number;
  duration_s: number;
  updated_at: string;
  playlist_id: string | null;
  thumbnail_image_id: string | null;
}

/** What is known of one person: what they own (until when), and how far they got, 0 to 1. */
export interface Belongings {
  owned: ReadonlySet<string>;
  watched: ReadonlyMap<string, { fraction: number; isCompleted: boolean }>;
}

const CARD = 'id,title,content_type,duration,is_free,is_preview,thumbnail_image_id,published_at';
const CARD_AND_MORE = `${CARD},genres(title),generations!contents__generation_exists(height,has_video)`;

/** What stands on the shelf: shown, and with something to play. A title announced before its film is there has no generation. */
const PLAYABLE = 'is_published=is.true&generation_id=not.is.null';

export const PAGE_SIZE = 24;

export interface Kind {
  key: string;
  heading: string;
  types: ContentType[];
}

export const KINDS: readonly Kind[] = [
  { key: 'films', heading: 'Films', types: ['MOVIE'] },
  { key: 'music', heading: 'Music', types: ['MUSIC'] },
  { key: 'lessons', heading: 'Lessons', types: ['LESSON'] },
  { key: 'podcasts', heading: 'Podcasts', types: ['PODCAST_EPISODE'] },
  { key: 'recordings', heading: 'Recordings', types: ['LIVE_RECORDING'] },
];

export function posterUrl(fileId: string): string {
  return `/storage/v1/object/public/${fileId}`;
}

export function readKind(kind: Kind, offset: number, signal?: AbortSignal): Promise<Title[]> {
  const path =
    `/rest/v1/contents?select=${CARD_AND_MORE}&${PLAYABLE}&content_type=in.(${kind.types.join(',')})` +
    `&order=published_at.desc,id.desc&limit=${PAGE_SIZE}&offset=${offset}`;
  return callJson<Title[]>(path, signal ? { signal } : {});
}

export async function readSeries(signal?: AbortSignal): Promise<Series[]> {
  const path =
    '/rest/v1/playlists?select=id,title,description,thumbnail_image_id,' +
    `playlist_episodes(episode_order,season_number,episode_number,title,contents(${CARD}))` +
    '&playlist_episodes.contents.generation_id=not.is.null' +
    `&is_series=is.true&order=created_at.desc&limit=${PAGE_SIZE}`;
  const all = await callJson<Series[]>(path, signal ? { signal } : {});
  return all.map(withOrder).filter((series) => series.playlist_episodes.length > 0);
}

/** Episodes that may not be seen, or have nothing to play yet, come back without their content: they are left out. */
export function withOrder(series: Series): Series {
  const seen = series.playlist_episodes.filter((episode) => episode.contents !== null);
  return { ...series, playlist_episodes: seen.sort((a, b) => a.episode_order - b.episode_order) };
}

/** The word as a `ilike` pattern: PostgREST's `*` and quotes, SQL's wildcards. Double quotes keep commas and dots literal. */
export function searchPattern(word: string): string {
  const plain = word.trim().replace(/[\\%_*]/g, (c) => (c === '*' ? '' : `\\${c}`));
  return `*${plain}*`;
}

export function searchTitles(word: string, signal?: AbortSignal): Promise<Title[]> {
  const path =
    `/rest/v1/contents?select=${CARD_AND_MORE}&${PLAYABLE}&title=ilike.${encodeURIComponent(searchPattern(word))}` +
    '&order=published_at.desc,id.desc&limit=60';
  return callJson<Title[]>(path, signal ? { signal } : {});
}

export async function readTitle(id: string): Promise<Title | null> {
  const path = `/rest/v1/contents?select=${CARD_AND_MORE},description,release_date,is_published&id=eq.${id}&limit=1`;
  return (await callJson<Title[]>(path))[0] ?? null;
}

export function readContinuing(): Promise<Continuing[]> {
  return callJson<Continuing[]>('/me/continue-watching?limit=20');
}

interface LibraryRow {
  content_id: string;
  expires_at: string | null;
}

interface ProgressRow {
  content_id: string | null;
  position_ms: number;
  duration: number;
  is_completed: boolean;
}

export const NOTHING: Belongings = { owned: new Set(), watched: new Map() };

export async function readBelongings(userId: string, nowMs: number): Promise<Belongings> {
  const mine = `user_id=eq.${userId}`;
  const [library, progress] = await Promise.all([
    callJson<LibraryRow[]>(`/rest/v1/content_purchases?select=content_id,expires_at&${mine}&order=purchased_at.desc&limit=1000`),
    callJson<ProgressRow[]>(
      `/rest/v1/watch_progress?select=content_id,position_ms,duration,is_completed&${mine}&order=updated_at.desc&limit=1000`,
    ),
  ]);
  const owned = library.filter((row) => row.expires_at === null || Date.parse(row.expires_at) > nowMs).map((row) => row.content_id);
  const watched = new Map<string, { fraction: number; isCompleted: boolean }>();
  for (const row of progress) {
    if (row.content_id === null || row.duration <= 0) continue;
    const fraction = Math.min(1, Math.max(0, row.position_ms / 1000 / row.duration));
    watched.set(row.content_id, { fraction, isCompleted: row.is_completed });
  }
  return { owned: new Set(owned), watched };
}

/** `open`: not bought, but staff may watch everything. */
export type Access = 'free' | 'owned' | 'open' | 'locked';

/** The badge; the server alone decides when play is pressed. */
export function accessOf(title: Title, owned: ReadonlySet<string>, isStaff: boolean): Access {
  if (owned.has(title.id)) return 'owned';
  if (title.is_free || title.is_preview) return 'free';
  return isStaff ? 'open' : 'locked';
}
