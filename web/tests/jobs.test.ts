import { describe, expect, it } from 'vitest';
import { isUsual, metadataOf } from '../src/lib/studio/choices';
import { bitRate, chunksOf, percentEncoded, renditionsOf, sizeName, taskName, taskWords, type JobDetail, type Task } from '../src/lib/studio/job-detail';
import { stageWords, stateWords, workersOf } from '../src/lib/studio/jobs';
import { parseRoute } from '../src/lib/router.svelte';

const ID = '01234567-89ab-7cde-8f01-23456789abcd';

function task(about: Partial<Task>): Task {
  return { id: ID, kind: 'encode', chunk_no: null, state: 'queued', progress: 0, attempts: 0, max_attempts: 5, owner: null, error_code: null, ...about };
}

function job(about: Partial<JobDetail>): JobDetail {
  return {
    id: ID, content_id: ID, file_id: ID, state: 'running', progress: 0, eta_s: null, stage: 'encoding', cancel_requested: false, is_repackaging: false, warnings: [],
    error_code: null, error_message: null, created_at: '', started_at: null, finished_at: null, contents: null, at_work: [],
    codecs: null, quality: null, is_encrypted: null, ladder: null, files: null, tasks: [], generations: null, ...about,
  };
}

describe('a job’s parts', () => {
  const split = job({
    tasks: [
      task({ kind: 'transcode', state: 'done', progress: 100 }),
      task({ chunk_no: 2, state: 'queued' }),
      task({ chunk_no: 0, state: 'done', progress: 100 }),
      task({ chunk_no: 1, state: 'running', progress: 50 }),
      task({ kind: 'audio', state: 'running', progress: 30 }),
    ],
  });

  it('pieces are in the film’s order, and the pictures are as far as they are together', () => {
    expect(chunksOf(split).map((one) => one.chunk_no)).toEqual([0, 1, 2]);
    expect(percentEncoded(split, 'video')).toBe(50);
    expect(percentEncoded(split, 'audio')).toBe(30);
    expect(percentEncoded(split, 'subtitles')).toBe(30);
  });

  it('a short film is one task, whose last tenth is checking', () => {
    const whole = job({ tasks: [task({ kind: 'transcode', state: 'running', progress: 45 })] });
    expect(percentEncoded(whole, 'video')).toBe(50);
    expect(percentEncoded(job({ tasks: [task({ kind: 'transcode', state: 'running', progress: 97 })] }), 'audio')).toBe(100);
    expect(percentEncoded(job({ tasks: [] }), 'video')).toBe(0);
  });

  it('what is planned is listed until there is what was made', () => {
    const ladder: JobDetail['ladder'] = [
      { kind: 'audio', name: 'English', codec: 'aac', channels: 2, bps: 128_000 },
      { kind: 'video', name: '1080p-hevc', codec: 'hevc', width: 1920, height: 1080, bps: 3_640_000 },
    ];
    const planned = renditionsOf({ ...split, ladder });
    expect(planned.map((row) => [row.kind, row.codec, row.shape, row.percent])).toEqual([
      ['video', 'HEVC', '1920 × 1080', 50],
      ['audio', 'AAC', 'stereo', 30],
    ]);
    const rendition = { name: '240p', codecs: 'avc1.42c01e', width: 426, height: 240, average_bandwidth_bps: 250_000, channels: null, segment_count: 1, size_bytes: 1000 };
    const generations = { number: 1, state: 'published', size_bytes: 1000, renditions: [{ ...rendition, kind: 'iframes' as const }, { ...rendition, kind: 'video' as const }] };
    const made = renditionsOf(job({ state: 'succeeded', ladder, generations }));
    expect(made.map((row) => [row.name, row.codec, row.sizeBytes])).toEqual([['240p', 'H.264', 1000]]);
    expect(renditionsOf(job({ ladder: null }))).toEqual([]);
  });

  it('a task says how far it is, and what a job that has ended never began is not made', () => {
    const running = job({});
    expect(taskWords(task({ state: 'running', progress: 41.9, attempts: 2 }), running)).toBe('41 %, attempt 2');
    expect(taskWords(task({ attempts: 1 }), running)).toBe('waits for attempt 2');
    expect(taskWords(task({}), running)).toBe('waiting');
    expect(taskWords(task({}), job({ state: 'cancelled' }))).toBe('not made');
    expect(taskWords(task({ state: 'running', progress: 5 }), job({ state: 'failed' }))).toBe('not made');
    expect([taskName({ kind: 'encode', chunk_no: 0 }), taskName({ kind: 'stitch', chunk_no: null })]).toEqual(['Piece 1', 'Joining and checking']);
  });

  it('workers are named by their machines', () => {
    expect(workersOf({ at_work: [{ owner: 'b:2' }, { owner: 'a:10' }, { owner: 'b:3' }, { owner: null }] })).toEqual(['a', 'b']);
  });

  it('states and rates in words', () => {
    expect(stateWords({ state: 'running', cancel_requested: true, is_repackaging: false })).toBe('Stopping');
    expect(stateWords({ state: 'cancelled', cancel_requested: true, is_repackaging: false })).toBe('Cancelled');
    expect(stateWords({ state: 'running', cancel_requested: false, is_repackaging: true })).toBe('Packaging');
    expect(stageWords({ state: 'running', stage: 'some_new_stage', cancel_requested: false, is_repackaging: false })).toBe('Some new stage');
    expect([bitRate(5_200_000), bitRate(128_000), bitRate(null)]).toEqual(['5.2 Mbit/s', '128 kbit/s', '']);
    expect(['1080p-hevc', '720p', 'Deutsch'].map(sizeName)).toEqual(['1080p', '720p', 'Deutsch']);
  });
});

describe('choices', () => {
  it('what is left as it is set is not asked for', () => {
    expect(metadataOf({ codecs: 'set', quality: 'set', encryption: 'set' })).toEqual({});
    expect(metadataOf({ codecs: 'h264,hevc', quality: 'auto', encryption: 'none' })).toEqual({ codecs: 'h264,hevc', quality: 'auto', encrypt: 'false' });
    expect(metadataOf({ codecs: 'h264', quality: 'fast', encryption: 'aes-128' })['encrypt']).toBe('true');
    expect(isUsual({ codecs: 'set', quality: 'set', encryption: 'none' })).toBe(false);
  });
});

describe('the studio’s addresses', () => {
  it('a job has a page of its own', () => {
    expect(parseRoute(`/studio/jobs/${ID.toUpperCase()}`, '')).toEqual({ name: 'job', jobId: ID });
    expect(parseRoute('/studio/jobs', '?only=failed')).toEqual({ name: 'jobs', only: 'failed' });
    expect(parseRoute('/studio/jobs', '?only=nonsense')).toEqual({ name: 'jobs', only: 'all' });
    expect(parseRoute('/studio/jobs/1', '').name).toBe('lost');
  });
});
