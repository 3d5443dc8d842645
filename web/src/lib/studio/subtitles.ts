/** Subtitles that were uploaded for a title: how they are read, added and taken away, and whether viewers have them yet. No state. */

import { authHeaders, call, callJson } from '../api';
import type { JobState } from './jobs';

export type TextKind = 'subtitles' | 'captions' | 'forced';

export interface Track {
  id: string;
  kind: TextKind;
  language: string;
  label: string;
  is_default: boolean;
}

export interface Draft {
  language: string;
  label: string;
  kind: TextKind;
  isDefault: boolean;
}

export interface Tracks {
  tracks: Track[];
  /** What the generation that plays offers, those of the film's own file too. */
  offered: { name: string; language: string | null }[];
  /** Sound alone plays: there is nothing to show words on. */
  isHeardOnly: boolean;
  /** The newest repackaging of the title. */
  job: { id: string; state: JobState; error_code: string | null; error_message: string | null } | null;
}

export const KINDS: readonly (readonly [TextKind, string])[] = [
  ['subtitles', 'Subtitles'],
  ['captions', 'For those who do not hear (SDH)'],
  ['forced', 'Forced: signs alone'],
];

export async function readTracks(contentId: string, signal?: AbortSignal): Promise<Tracks> {
  const options = signal ? { signal } : {};
  const [tracks, rows, jobs] = await Promise.all([
    callJson<Track[]>(`/rest/v1/text_tracks?content_id=eq.${contentId}&select=id,kind,language,label,is_default&order=language,label`, options),
    callJson<{ playing: { has_video: boolean; renditions: { kind: string; name: string; language: string | null }[] } | null }[]>(
      `/rest/v1/contents?id=eq.${contentId}&select=playing:generations!contents__generation_exists(has_video,renditions(kind,name,language))`, options,
    ),
    callJson<NonNullable<Tracks['job']>[]>(
      `/rest/v1/transcode_jobs?content_id=eq.${contentId}&is_repackaging=is.true&select=id,state,error_code,error_message&order=created_at.desc&limit=1`, options,
    ),
  ]);
  const offered = (rows[0]?.playing?.renditions ?? []).filter((one) => one.kind === 'subtitles');
  return { tracks, offered, isHeardOnly: rows[0]?.playing?.has_video === false, job: jobs[0] ?? null };
}

/** Whether players are given the track already. One that was named by its language alone is called by the language's name. */
export function isOffered(track: Track, offered: Tracks['offered']): boolean {
  return offered.some((one) => one.language === track.language && (track.label === track.language || one.name === track.label || one.name.startsWith(`${track.label} `)));
}

/** `film.pt-BR.srt` -> `pt-BR`; nothing where the name does not say. */
export function languageOfFile(name: string): string {
  return /\.([a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?)\.[a-z]{2,4}$/.exec(name)?.[1] ?? '';
}

export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(undefined, { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Resolves when the server has it; what the server refuses is thrown in its own words. */
export async function addTrack(contentId: string, file: File, draft: Draft): Promise<void> {
  const tus = await import('tus-js-client');
  const headers = await authHeaders();
  await new Promise<void>((resolve, reject) => {
    new tus.Upload(file, {
      endpoint: '/storage/v1/upload/resumable',
      retryDelays: [0, 1000, 3000],
      // Some kilobytes are sent again in no time: nothing is kept in the browser to go on with.
      storeFingerprintForResuming: false,
      headers,
      metadata: {
        filename: file.name,
        subtitles_of: contentId,
        language: draft.language,
        kind: draft.kind,
        is_default: String(draft.isDefault),
        ...(draft.label ? { label: draft.label } : {}),
      },
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        return status === 0 || status === 423 || status === 429 || status >= 500;
      },
      onSuccess: () => resolve(),
      onError: (error) => reject(new Error(wordsOf(error))),
    }).start();
  });
}

export async function removeTrack(trackId: string): Promise<void> {
  await call(`/rest/v1/text_tracks?id=eq.${trackId}`, { method: 'DELETE' });
}

function wordsOf(error: unknown): string {
  const response = (error as { originalResponse?: { getStatus(): number; getBody(): string } | null }).originalResponse;
  if (!response) return 'The connection was lost. Try again.';
  try {
    const body = JSON.parse(response.getBody()) as { message?: string };
    if (body.message) return body.message;
  } catch (cause) {
    console.debug('the refusal was not JSON', cause);
  }
  return `The server answered ${response.getStatus()}.`;
}
