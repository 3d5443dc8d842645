/** Encoding jobs: how they are read and how they are said. No state. */

import { callJson } from '../api';
import type { ContentType } from '../catalogue';

export interface Job {
  id: string;
  content_id: string;
  file_id: string;
  state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  /** Percent. */
  progress: number;
  eta_s: number | null;
  stage: string;
  error_code: string | null;
  error_message: string | null;
  created_at: string;
  finished_at: string | null;
  contents: { title: string; content_type: ContentType; thumbnail_image_id: string | null } | null;
}

const COLUMNS =
  'id,content_id,file_id,state,progress,eta_s,stage,error_code,error_message,created_at,finished_at,' +
  'contents(title,content_type,thumbnail_image_id)';

/** A numeric column may come as text. */
function withNumbers(job: Job): Job {
  return { ...job, progress: Math.min(100, Math.max(0, Number(job.progress) || 0)) };
}

export async function readJobs(limit = 20, signal?: AbortSignal): Promise<Job[]> {
  const path = `/rest/v1/transcode_jobs?select=${COLUMNS}&order=created_at.desc&limit=${limit}`;
  return (await callJson<Job[]>(path, signal ? { signal } : {})).map(withNumbers);
}

export async function readJobOf(contentId: string): Promise<Job | null> {
  const path = `/rest/v1/transcode_jobs?select=${COLUMNS}&content_id=eq.${contentId}&order=created_at.desc&limit=1`;
  const job = (await callJson<Job[]>(path))[0];
  return job ? withNumbers(job) : null;
}

export function isOpen(job: Job): boolean {
  return job.state === 'queued' || job.state === 'running';
}

const STATES: Record<Job['state'], string> = {
  queued: 'Waiting',
  running: 'Encoding',
  succeeded: 'Ready',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export function stateWords(job: Job): string {
  return STATES[job.state] ?? job.state;
}

const STAGES: Record<string, string> = {
  waiting: 'Waiting for a free worker',
  probe: 'Looking at the file',
  probing: 'Looking at the file',
  measuring: 'Measuring the picture',
  split: 'Cutting into pieces',
  transcode: 'Encoding',
  encode: 'Encoding',
  encoding: 'Encoding',
  audio: 'Encoding the sound',
  stitch: 'Joining the pieces',
  package: 'Packaging',
  packaging: 'Packaging',
  thumbnails: 'Drawing previews',
  verify: 'Checking the result',
  verifying: 'Checking the result',
  publish: 'Publishing',
  publishing: 'Publishing',
  done: 'Done',
};

export function stageWords(job: Job): string {
  const plain = job.stage.replaceAll('_', ' ');
  return STAGES[job.stage] ?? (plain ? plain.charAt(0).toUpperCase() + plain.slice(1) : stateWords(job));
}

const FAILURES: Record<string, string> = {
  PS601: 'This is not a video or audio file that can be read. Try another export of it.',
  PS602: 'The file is empty.',
  PS603: 'The file is cut off: its end is missing. Upload it again, or export it anew.',
  PS604: 'This is a playlist or a document, not media.',
  PS605: 'The file has neither picture nor sound.',
  PS606: 'The picture or the length is beyond what is accepted here.',
  PS607: 'The file could not be understood in time. It may be damaged.',
  PS608: 'The encoder stopped with an error.',
  PS609: 'The result did not pass its checks and was not published. What was published before still plays.',
  PS610: 'It was tried several times and given up.',
  PS614: 'There is no room left on the disk.',
};

/** What went wrong, for a person, with the server's own words where they say more. */
export function whyFailed(job: Job): string {
  const known = job.error_code ? FAILURES[job.error_code] : undefined;
  const said = job.error_message?.trim() ?? '';
  if (!known) return said || 'It did not work, and the server did not say why.';
  return said && !known.startsWith(said.replace(/\.$/, '')) ? `${known} (${said})` : known;
}
