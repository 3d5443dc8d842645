import { describe, expect, it } from 'vitest';
import type { Beat, BeatEvent } from '../src/lib/player/beat';
import { BATCH_MAX, BeatQueue, QUEUE_MAX, backoffMs, faultyIndexes, type QueuedBeat, type Send, type SendAnswer } from '../src/lib/player/beat-queue';

function beat(seq: number, event: BeatEvent = 'beat'): Beat {
  return {
    content_id: 'c',
    position_s: seq * 5,
    duration_s: 600,
    event,
    seq,
    at: '2026-11-20T17:00:00.000Z',
    watched_s: 5,
    device_type: 'web',
    playlist_id: null,
    session_id: 's',
    event_id: `e${seq}`,
  };
}

const queued = (seq: number, token = 'k1', user_id: string | null = 'u', event: BeatEvent = 'beat'): QueuedBeat => ({
  token,
  user_id,
  beat: beat(seq, event),
});

interface Sent {
  token: string;
  ids: string[];
  asPerson: boolean;
}

/** A server that gives the answers one after another, then 204s. */
function server(...answers: (number | Partial<SendAnswer>)[]): { sent: Sent[]; send: Send } {
  const sent: Sent[] = [];
  const send: Send = async (token, _user, beats, asPerson) => {
    sent.push({ token, ids: beats.map((b) => b.event_id), asPerson });
    const next = answers.shift() ?? 204;
    return { status: 204, retryAfterS: null, faultPaths: [], ...(typeof next === 'number' ? { status: next } : next) };
  };
  return { sent, send };
}

const quiet = (): void => undefined;
const at = (ms: number) => () => ms;

describe('sending', () => {
  it('sends at most 100 beats together and keeps their order', async () => {
    const { sent, send } = server();
    const queue = new BeatQueue(send, quiet);
    for (let i = 1; i <= 250; i += 1) queue.push(queued(i));
    await queue.flush(at(0));
    expect(sent.map((s) => s.ids.length)).toEqual([BATCH_MAX, BATCH_MAX, 50]);
    expect(sent.flatMap((s) => s.ids)).toEqual(Array.from({ length: 250 }, (_, i) => `e${i + 1}`));
    expect(queue.length).toBe(0);
  });

  it('never mixes the beats of two grants in one request', async () => {
    const { sent, send } = server();
    const queue = new BeatQueue(send, quiet, [queued(1, 'a'), queued(2, 'a'), queued(3, 'b')]);
    await queue.flush(at(0));
    expect(sent).toEqual([
      { token: 'a', ids: ['e1', 'e2'], asPerson: false },
      { token: 'b', ids: ['e3'], asPerson: false },
    ]);
  });

  it('sends again with the same event_id after a failure, and not before its time', async () => {
    const { sent, send } = server(0);
    const queue = new BeatQueue(send, quiet, [queued(1)], () => 0);
    expect(await queue.flush(at(0))).toBe(1000);
    queue.push(queued(2));
    expect(await queue.flush(at(400))).toBe(600);
    expect(sent).toHaveLength(1);
    expect(await queue.flush(at(1000))).toBeNull();
    expect(sent.map((s) => s.ids)).toEqual([['e1'], ['e1', 'e2']]);
  });

  it('waits as long as Retry-After says', async () => {
    const { send } = server({ status: 503, retryAfterS: 7 });
    const queue = new BeatQueue(send, quiet, [queued(1)], () => 0);
    expect(await queue.flush(at(0))).toBe(7000);
    expect(queue.notBeforeMs).toBe(7000);
  });

  it('keeps a beat that is pushed while a request is on its way', async () => {
    const { sent, send } = server();
    const queue: BeatQueue = new BeatQueue(async (...args) => {
      if (sent.length === 0) queue.push(queued(2));
      return send(...args);
    }, quiet, [queued(1)]);
    await queue.flush(at(0));
    expect(sent.map((s) => s.ids)).toEqual([['e1'], ['e2']]);
  });

  it('does not send twice at once', async () => {
    let release = (): void => undefined;
    const { sent, send } = server();
    const queue = new BeatQueue(async (...args) => {
      await new Promise<void>((done) => (release = done));
      return send(...args);
    }, quiet, [queued(1)]);
    const first = queue.flush(at(0));
    expect(await queue.flush(at(0))).toBeNull();
    release();
    await first;
    expect(sent).toHaveLength(1);
  });
});

describe('refusals', () => {
  it('drops only the beats that a 422 names', async () => {
    const { sent, send } = server({ status: 422, faultPaths: ['beats[1].position_s'] });
    const queue = new BeatQueue(send, quiet, [queued(1), queued(2), queued(3)]);
    await queue.flush(at(0));
    expect(sent[1]?.ids).toEqual(['e1', 'e3']);
    expect(queue.dropped).toBe(1);
  });

  it('drops the batch when a 422 names nothing, so that later beats pass', async () => {
    const { sent, send } = server(422);
    const queue = new BeatQueue(send, quiet, [queued(1, 'a'), queued(2, 'b')]);
    await queue.flush(at(0));
    expect(sent.map((s) => s.token)).toEqual(['a', 'b']);
    expect(queue.dropped).toBe(1);
  });

  it.each([401, 403, 410])('lets the person vouch after a %i for the grant', async (status) => {
    const { sent, send } = server(status);
    const queue = new BeatQueue(send, quiet, [queued(1)]);
    await queue.flush(at(0));
    expect(sent.map((s) => s.asPerson)).toEqual([false, true]);
    expect(queue.length).toBe(0);
    expect(queue.dropped).toBe(0);
  });

  it('a guest has nobody to vouch: the beats of an ended grant are given up', async () => {
    const { sent, send } = server(410);
    const queue = new BeatQueue(send, quiet, [queued(1, 'a', null)]);
    await queue.flush(at(0));
    expect(sent).toHaveLength(1);
    expect(queue.dropped).toBe(1);
  });
});

describe('keeping', () => {
  it('is bounded: the oldest plain beat goes, starts and ends stay', () => {
    const queue = new BeatQueue(server().send, quiet);
    queue.push(queued(1, 'k1', 'u', 'start'));
    for (let i = 2; i <= QUEUE_MAX + 1; i += 1) queue.push(queued(i));
    expect(queue.length).toBe(QUEUE_MAX);
    expect(queue.dropped).toBe(1);
    expect(queue.waiting.slice(0, 2).map((q) => q.beat.event_id)).toEqual(['e1', 'e3']);
  });

  it('tells the keeper what is still waiting after each change', async () => {
    const kept: number[] = [];
    const queue = new BeatQueue(server().send, (beats) => kept.push(beats.length));
    queue.push(queued(1));
    queue.push(queued(2));
    await queue.flush(at(0));
    expect(kept).toEqual([1, 2, 0]);
  });

  it('a farewell takes the newest beats of one grant and leaves them queued', () => {
    const queue = new BeatQueue(server().send, quiet, [queued(1, 'a'), queued(2, 'b'), queued(3, 'b')]);
    expect(queue.farewell('b', 1).map((b) => b.event_id)).toEqual(['e3']);
    expect(queue.length).toBe(3);
  });
});

describe('delays', () => {
  it('double to a minute, with jitter', () => {
    expect([1, 2, 3, 7, 30].map((n) => backoffMs(n, null, 0))).toEqual([1000, 2000, 4000, 60_000, 60_000]);
    expect(backoffMs(1, null, 1)).toBe(1250);
  });

  it('read the indexes out of fault paths', () => {
    expect(faultyIndexes(['beats[3].position_s', '[7].at'])).toEqual(new Set([3, 7]));
    expect(faultyIndexes(['token'])).toBeNull();
  });
});
