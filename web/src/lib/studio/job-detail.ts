/** One encoding job with its pieces and renditions: how it is read, and what its parts add up to. No state. */

import { callJson } from '../api';
import { isOpen, JOB_COLUMNS, percentOf, withNumbers, type Job } from './jobs';

export type TaskKind = 'transcode' | 'preview' | 'encode' | 'audio' | 'stitch' | 'repackage';

export interface Task {
  id: string;
  kind: TaskKind;
  chunk_no: number | null;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  progress: number;
  attempts: number;
  max_attempts: number;
  owner: string | null;
  error_code: string | null;
}

/** What is being made, as soon as it has been decided. */
export interface Planned {
  kind: 'video' | 'audio' | 'subtitles';
  name: string;
  codec?: string;
  width?: number;
  height?: number;
  bps?: number;
  channels?: number;
  language?: string;
}

/** What was made. */
export interface Rendition {
  kind: 'video' | 'audio' | 'subtitles' | 'iframes';
  name: string;
  codecs: string | null;
  width: number | null;
  height: number | null;
  average_bandwidth_bps: number | null;
  channels: number | null;
  segment_count: number;
  size_bytes: number;
}

export interface JobDetail extends Job {
  codecs: string[] | null;
  quality: 'fast' | 'auto' | null;
  is_encrypted: boolean | null;
  ladder: Planned[] | null;
  files: { name: string; size: number } | null;
  tasks: Task[];
  generations: { number: number; state: string; size_bytes: number; renditions: Rendition[] } | null;
}

/** Why one piece failed, or failed before it was tried again. */
export interface Failure {
  task_id: string;
  kind: TaskKind;
  chunk_no: number | null;
  state: 'queued' | 'failed';
  attempts: number;
  max_attempts: number;
  code: string;
  message: string | null;
  rule: { rule: string; rendition: string; problem: string } | null;
  log: string | null;
}

const COLUMNS =
  `${JOB_COLUMNS},codecs,quality,is_encrypted,ladder,files(name,size),` +
  'tasks:transcode_tasks(id,kind,chunk_no,state,progress,attempts,max_attempts,owner,error_code),' +
  'generations(number,state,size_bytes,renditions(kind,name,codecs,width,height,average_bandwidth_bps,channels,segment_count,size_bytes))';

export async function readJob(jobId: string, signal?: AbortSignal): Promise<JobDetail | null> {
  type Row = Omit<JobDetail, 'at_work'>;
  const rows = await callJson<Row[]>(`/rest/v1/transcode_jobs?select=${COLUMNS}&id=eq.${jobId}`, signal ? { signal } : {});
  const row = rows[0];
  if (!row) return null;
  const tasks = row.tasks.map((task) => ({ ...task, progress: Number(task.progress) || 0 }));
  const at_work = tasks.filter((task) => task.state === 'running').map(({ owner }) => ({ owner }));
  return withNumbers({ ...row, tasks, at_work });
}

export async function readFailures(jobId: string, signal?: AbortSignal): Promise<Failure[]> {
  const path = `/rest/v1/rpc/encoding_failures?job_id=${jobId}`;
  return (await callJson<{ failures: Failure[] }>(path, signal ? { signal } : {})).failures;
}

/** The pieces that a long film is cut into, in its order; none of a short one. */
export function chunksOf(job: Pick<JobDetail, 'tasks'>): Task[] {
  return job.tasks.filter((task) => task.kind === 'encode').sort((a, b) => (a.chunk_no ?? 0) - (b.chunk_no ?? 0));
}

const SHARE_BEFORE_CHECKS = 90;

/** How much of the pictures, or of the sound, is encoded: percent. All sizes of a piece are made side by side, by one run. */
export function percentEncoded(job: Pick<JobDetail, 'tasks' | 'state' | 'progress'>, kind: Planned['kind']): number {
  if (job.state === 'succeeded') return 100;
  const pieces = kind === 'video' ? chunksOf(job) : job.tasks.filter((task) => task.kind === 'audio');
  const whole = job.tasks.find((task) => task.kind === 'transcode');
  const isCut = job.tasks.some((task) => task.kind === 'encode');
  if (!isCut) return Math.min(100, ((whole?.progress ?? percentOf(job)) / SHARE_BEFORE_CHECKS) * 100);
  if (pieces.length === 0) return 0;
  const done = pieces.reduce((sum, piece) => sum + (piece.state === 'done' ? 100 : piece.state === 'running' ? piece.progress : 0), 0);
  return done / pieces.length;
}

export interface RenditionRow {
  key: string;
  kind: 'video' | 'audio' | 'subtitles';
  name: string;
  codec: string;
  /** `1920 × 1080`, `stereo`, or nothing to say. */
  shape: string;
  bps: number | null;
  sizeBytes: number | null;
  percent: number;
}

const CODEC_NAMES: Record<string, string> = {
  avc1: 'H.264', h264: 'H.264', hvc1: 'HEVC', hev1: 'HEVC', hevc: 'HEVC', av01: 'AV1', av1: 'AV1', mp4a: 'AAC', aac: 'AAC', wvtt: 'WebVTT',
};

function codecName(codec: string | null | undefined): string {
  const head = (codec ?? '').split('.')[0] ?? '';
  return CODEC_NAMES[head] ?? head;
}

function shapeOf(about: { width?: number | null; height?: number | null; channels?: number | null }): string {
  if (about.width && about.height) return `${about.width} × ${about.height}`;
  return about.channels === 2 ? 'stereo' : about.channels === 6 ? '5.1' : about.channels ? `${about.channels} channels` : '';
}

/** What was made where it is whole, else what is being made. */
export function renditionsOf(job: JobDetail): RenditionRow[] {
  const made = job.state === 'succeeded' ? (job.generations?.renditions ?? []) : [];
  const rows: RenditionRow[] = [];
  for (const [n, one] of made.entries()) {
    if (one.kind === 'iframes') continue;
    const { kind, name, size_bytes: sizeBytes } = one;
    rows.push({ key: `${kind}-${n}`, kind, name, codec: codecName(one.codecs), shape: shapeOf(one), bps: one.average_bandwidth_bps, sizeBytes, percent: 100 });
  }
  if (rows.length === 0) {
    for (const [n, one] of (job.ladder ?? []).entries()) {
      const percent = percentEncoded(job, one.kind);
      rows.push({ key: `${one.kind}-${n}`, kind: one.kind, name: one.name, codec: codecName(one.codec), shape: shapeOf(one), bps: one.bps ?? null, sizeBytes: null, percent });
    }
  }
  const order = { video: 0, audio: 1, subtitles: 2 };
  return rows.sort((a, b) => order[a.kind] - order[b.kind]);
}

/** `1080p-hevc` -> `1080p`: the codec has a place of its own. */
export function sizeName(name: string): string {
  return name.replace(/-(hevc|av1)$/, '');
}

const KINDS: Record<TaskKind, string> = {
  transcode: 'The whole title',
  preview: 'Early preview',
  encode: 'Piece',
  audio: 'Sound and subtitles',
  stitch: 'Joining and checking',
  repackage: 'Packaging with other subtitles',
};

export function taskName(task: { kind: TaskKind; chunk_no: number | null }): string {
  return task.kind === 'encode' && task.chunk_no !== null ? `Piece ${task.chunk_no + 1}` : (KINDS[task.kind] ?? task.kind);
}

/** `waiting`, `done`, `42 %`, ... ; what a job that has ended never began is `not made`. */
export function taskWords(task: Task, job: Pick<Job, 'state'>): string {
  if (task.state === 'done') return 'done';
  if (task.state === 'failed') return 'failed';
  if (task.state === 'cancelled' || !isOpen(job)) return 'not made';
  if (task.state === 'running') return `${Math.floor(task.progress)} %${task.attempts > 1 ? `, attempt ${task.attempts}` : ''}`;
  return task.attempts > 0 ? `waits for attempt ${task.attempts + 1}` : 'waiting';
}

export function bitRate(bps: number | null): string {
  if (!bps) return '';
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}
