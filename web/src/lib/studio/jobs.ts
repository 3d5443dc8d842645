/** Encoding jobs: how they are read and changed, and how they are said. No state. */

import { callJson } from '../api';
import type { ContentType } from '../catalogue';
import type { JobFilter } from '../router.svelte';

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  content_id: string;
  file_id: string;
  state: JobState;
  /** Percent. */
  progress: number;
  eta_s: number | null;
  stage: string;
  /** A person has asked for its end, and a worker has to stop first. */
  cancel_requested: boolean;
  /** Nothing is encoded: the title gets other subtitles. */
  is_repackaging: boolean;
  /** What the title does without, in sentences. */
  warnings: string[];
  error_code: string | null;
  error_message: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  contents: { title: string; content_type: ContentType; thumbnail_image_id: string | null } | null;
  /** Who works on it at this moment, as `machine:process`. */
  at_work: { owner: string | null }[];
}

export const JOB_COLUMNS =
  'id,content_id,file_id,state,progress,eta_s,stage,cancel_requested,is_repackaging,warnings,error_code,error_message,created_at,started_at,finished_at,' +
  'contents(title,content_type,thumbnail_image_id)';
const AT_WORK = 'at_work:transcode_tasks(owner)&at_work.state=eq.running';

const FILTERS: Record<JobFilter, string> = {
  all: '',
  open: '&state=in.(queued,running)',
  failed: '&state=eq.failed',
};

/** A numeric column may come as text. */
export function withNumbers<T extends Job>(job: T): T {
  return { ...job, progress: Math.min(100, Math.max(0, Number(job.progress) || 0)) };
}

/** The newest first; one more than `limit` is asked for, to know whether there are more. */
export async function readJobs(limit = 20, signal?: AbortSignal, only: JobFilter = 'all'): Promise<{ jobs: Job[]; hasMore: boolean }> {
  const path = `/rest/v1/transcode_jobs?select=${JOB_COLUMNS},${AT_WORK}${FILTERS[only]}&order=created_at.desc&limit=${limit + 1}`;
  const rows = (await callJson<Job[]>(path, signal ? { signal } : {})).map(withNumbers);
  return { jobs: rows.slice(0, limit), hasMore: rows.length > limit };
}

export async function readJobOf(contentId: string): Promise<Job | null> {
  const path = `/rest/v1/transcode_jobs?select=${JOB_COLUMNS},${AT_WORK}&content_id=eq.${contentId}&order=created_at.desc&limit=1`;
  const job = (await callJson<Job[]>(path))[0];
  return job ? withNumbers(job) : null;
}

export async function cancelJob(jobId: string): Promise<void> {
  await callJson('/rest/v1/rpc/cancel_encoding', { body: { job_id: jobId } });
}

/** The id of the job that was begun in its place. */
export async function retryJob(jobId: string): Promise<string> {
  return (await callJson<{ job_id: string }>('/rest/v1/rpc/retry_encoding', { body: { job_id: jobId } })).job_id;
}

export function isOpen(job: Pick<Job, 'state'>): boolean {
  return job.state === 'queued' || job.state === 'running';
}

export function percentOf(job: Pick<Job, 'state' | 'progress'>): number {
  return job.state === 'succeeded' ? 100 : job.progress;
}

const STATES: Record<JobState, string> = {
  queued: 'Waiting',
  running: 'Encoding',
  succeeded: 'Ready',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export function stateWords(job: Pick<Job, 'state' | 'cancel_requested' | 'is_repackaging'>): string {
  if (job.cancel_requested && isOpen(job)) return 'Stopping';
  if (job.is_repackaging && job.state === 'running') return 'Packaging';
  return STATES[job.state] ?? job.state;
}

const STAGES: Record<string, string> = {
  waiting: 'Waiting for a free worker',
  probing: 'Looking at the file',
  measuring: 'Measuring the picture',
  encoding: 'Encoding',
  assembling: 'Joining the pieces',
  packaging: 'Adding the subtitles',
  verifying: 'Checking the result',
  publishing: 'Publishing',
};

export function stageWords(job: Pick<Job, 'state' | 'stage' | 'cancel_requested' | 'is_repackaging'>): string {
  const plain = job.stage.replaceAll('_', ' ');
  return STAGES[job.stage] ?? (plain ? plain.charAt(0).toUpperCase() + plain.slice(1) : stateWords(job));
}

/** `machine:123` and `machine:124` -> `machine`; several machines are all named. */
export function workersOf(job: Pick<Job, 'at_work'>): string[] {
  const machines = job.at_work.map((task) => task.owner?.replace(/:\d+$/, '') ?? '').filter(Boolean);
  return [...new Set(machines)].sort();
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

/** How the server's own sentence begins where ours says the same. */
const SAME: Record<string, string> = { PS609: 'The encoded result did not pass its checks and was not published.' };

/** What went wrong, for a person, with the server's own words where they say more. */
export function whyFailed(job: Pick<Job, 'error_code' | 'error_message'>): string {
  const known = job.error_code ? FAILURES[job.error_code] : undefined;
  const said = (job.error_message ?? '').replace(SAME[job.error_code ?? ''] ?? '', '').trim();
  if (!known) return said || 'It did not work, and the server did not say why.';
  return said && !known.startsWith(said.replace(/\.$/, '')) ? `${known} (${said})` : known;
}
