import { describe, expect, it } from 'vitest';
import { breakTitle, drawArtwork } from '../src/lib/artwork';
import { accessOf, searchPattern, withOrder, type Title } from '../src/lib/catalogue';
import { generationOf, underToken } from '../src/lib/player/grant';
import { judgeStatus } from '../src/lib/player/hls-policy';
import { explain } from '../src/lib/player/refused';
import { actionOf } from '../src/lib/player/shortcuts';
import { inWords, readRetryAfter, Refusal, waitToAsk } from '../src/lib/refusal';
import { whyFailed, type Job } from '../src/lib/studio/jobs';
import { formatAgo, formatBytes, formatClock, formatLeft, formatLength, speakClock } from '../src/lib/time';

describe('time in words', () => {
  it('a clock has hours only when there are any', () => {
    expect([0, 9.9, 75, 3599, 3675, 36_000].map(formatClock)).toEqual(['0:00', '0:09', '1:15', '59:59', '1:01:15', '10:00:00']);
    expect([Number.NaN, Infinity, -3, null, undefined].map(formatClock)).toEqual(Array(5).fill('0:00'));
  });

  it('a length is said as people do', () => {
    expect([45, 60, 3570, 3600, 5520].map(formatLength)).toEqual(['45 s', '1 min', '1 h', '1 h', '1 h 32 min']);
    expect([0, null, Number.NaN].map(formatLength)).toEqual([null, null, null]);
  });

  it('what is left, and when it was', () => {
    expect([2, 31, 61, null].map(formatLeft)).toEqual(['a few seconds left', 'about 35 s left', 'about 2 min left', null]);
    const now = Date.parse('2026-11-20T17:00:00Z');
    expect(formatAgo('2026-11-20T16:59:50Z', now)).toBe('just now');
    expect(formatAgo('2026-11-20T16:30:00Z', now)).toBe('30 min ago');
    expect(formatAgo('nonsense', now)).toBe('');
  });

  it('a screen reader hears words', () => {
    expect(speakClock(3725)).toBe('1 hour 2 minutes 5 seconds');
    expect(speakClock(0)).toBe('0 seconds');
  });

  it('bytes', () => {
    expect([0, 999, 1000, 1_536_000, 104_900_000_000].map(formatBytes)).toEqual(['0 B', '999 B', '1.0 kB', '1.5 MB', '105 GB']);
  });
});

describe('grants', () => {
  it('an address is moved to a newer token, others stay', () => {
    expect(underToken('https://e/hls/k1.old/c/g/v/s1.m4s?x=1', 'k2.new')).toBe('https://e/hls/k2.new/c/g/v/s1.m4s?x=1');
    expect(underToken('/storage/v1/object/public/x', 'k2.new')).toBe('/storage/v1/object/public/x');
  });

  it('the generation is read from the manifest address', () => {
    expect(generationOf('/hls/k1.t/c1/g7/master.m3u8')).toBe('g7');
    expect(generationOf('/elsewhere')).toBeNull();
  });

  it('an ended grant is renewed, a busy server is waited for, a refusal is final', () => {
    expect([401, 410, 0, 429, 503, 403, 404].map(judgeStatus)).toEqual(['renew', 'renew', 'wait', 'wait', 'wait', 'give-up', 'give-up']);
  });
});

describe('refusals in words', () => {
  const refused = (status: number, reason: string | null = null): Refusal => new Refusal(status, '', 'No.', reason);

  it('send a guest to sign in, and a person without the title nowhere', () => {
    expect(explain(refused(401), false).remedy).toBe('sign-in');
    expect(explain(refused(403, 'not_entitled'), true)).toMatchObject({ remedy: 'none', heading: 'This title is not in your library' });
    expect(explain(refused(409), true).remedy).toBe('wait');
    expect(explain(refused(0), true).remedy).toBe('retry');
  });

  it('name the devices when there are too many streams', () => {
    const refusal = new Refusal(403, 'PS407', 'No.', 'too_many_streams', [], null, null, ['tv', 'web']);
    expect(explain(refusal, true).why).toContain('tv, web');
  });

  it('give the request id only for our own failures', () => {
    expect(inWords(new Refusal(500, 'PS901', 'Something went wrong.', null, [], null, 'r-1'))).toContain('r-1');
    expect(inWords(new Refusal(403, 'PS304', 'You may not do that.', null, [], null, 'r-1'))).toBe('You may not do that.');
  });

  it('read Retry-After as seconds or as a date', () => {
    const now = Date.parse('2026-11-20T17:00:00Z');
    expect(readRetryAfter('12', now)).toBe(12);
    expect(readRetryAfter('Fri, 20 Nov 2026 17:00:30 GMT', now)).toBe(30);
    expect(readRetryAfter('soon', now)).toBeNull();
    expect(readRetryAfter(null, now)).toBeNull();
  });

  it('a failed job says why once, with the server’s words where they say more', () => {
    const job = { error_code: 'PS603', error_message: 'The file is cut off: its end is missing.' } as Job;
    expect(whyFailed(job)).toBe('The file is cut off: its end is missing. Upload it again, or export it anew.');
    expect(whyFailed({ ...job, error_code: 'PS608', error_message: 'x264: bad level' })).toContain('(x264: bad level)');
    const unsound = 'The encoded result did not pass its checks and was not published.';
    const why = whyFailed({ ...job, error_code: 'PS609', error_message: `${unsound} Rule init of a.m3u8: no moov.` });
    expect(why).toBe('The result did not pass its checks and was not published. What was published before still plays. (Rule init of a.m3u8: no moov.)');
    expect(whyFailed({ ...job, error_code: 'PS609', error_message: unsound })).not.toContain('(');
  });
});

describe('the shelf', () => {
  const title = (over: Partial<Title>): Title => ({
    id: 'a',
    title: 'A',
    content_type: 'MOVIE',
    duration: 1,
    is_free: false,
    is_preview: false,
    thumbnail_image_id: null,
    ...over,
  });

  it('badges: owned before free, locked for the rest, nothing locked for staff', () => {
    expect(accessOf(title({ is_free: true }), new Set(['a']), false)).toBe('owned');
    expect(accessOf(title({ is_preview: true }), new Set(), false)).toBe('free');
    expect(accessOf(title({}), new Set(), false)).toBe('locked');
    expect(accessOf(title({}), new Set(), true)).toBe('open');
  });

  it('a search word cannot bring its own wildcards', () => {
    expect(searchPattern(' 100%_*real ')).toBe('*100\\%\\_real*');
  });

  it('episodes come in order, without those that may not be seen', () => {
    const episode = (episode_order: number, contents: Title | null) => ({ episode_order, season_number: 1, episode_number: 1, title: null, contents });
    const series = { id: 's', title: 'S', description: null, thumbnail_image_id: null, playlist_episodes: [episode(3, title({})), episode(2, null), episode(1, title({}))] };
    expect(withOrder(series).playlist_episodes.map((e) => e.episode_order)).toEqual([1, 3]);
  });

  it('artwork is the same for the same id, and titles are cut into lines', () => {
    expect(drawArtwork('x')).toEqual(drawArtwork('x'));
    expect(breakTitle('The Cartographer of Small Rivers', 14, 3)).toEqual(['The', 'Cartographer', 'of Small…']);
  });
});

describe('keys', () => {
  const press = (key: string, more: object = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

  it('space presses a button where one has the focus, and plays elsewhere', () => {
    expect(actionOf(press(' '), 'button')).toBeNull();
    expect(actionOf(press(' '), 'page')).toEqual({ do: 'toggle' });
    expect(actionOf(press('K'), 'button')).toEqual({ do: 'toggle' });
  });

  it('leave letters to fields and combinations to the browser', () => {
    expect(actionOf(press('f'), 'field')).toBeNull();
    expect(actionOf(press('f', { ctrlKey: true }), 'page')).toBeNull();
  });

  it('j and l go ten seconds, digits to tenths', () => {
    expect(actionOf(press('j'), 'page')).toEqual({ do: 'by', seconds: -10 });
    expect(actionOf(press('7'), 'page')).toEqual({ do: 'to', fraction: 0.7 });
  });
});

describe('asking a busy server to play', () => {
  const busy = (retryAfterS: number | null) => new Refusal(503, 'PS900', 'Busy.', null, [], retryAfterS);

  it('again when it said, but neither for minutes nor for ever', () => {
    expect([1, 2, 3, 4].map((tried) => waitToAsk(busy(2), tried))).toEqual([2000, 2000, 2000, null]);
    expect(waitToAsk(busy(600), 1)).toBe(5000);
    expect([1, 2, 3].map((tried) => waitToAsk(busy(null), tried))).toEqual([1000, 2000, 3000]);
  });

  it('not after a decision, and not when something broke', () => {
    for (const status of [0, 401, 403, 404, 409, 410, 429, 500]) expect(waitToAsk(new Refusal(status, '', ''), 1)).toBeNull();
    expect(waitToAsk(new TypeError('a mistake of ours'), 1)).toBeNull();
  });
});
