import { describe, expect, it } from 'vitest';
import { nextOf } from '../src/lib/history';
import { readLanding, welcome } from '../src/lib/landing';

const NOW_MS = 1_700_000_000_000;

describe('what a mailed link leaves in the address', () => {
  it('is a session, with what it was for', () => {
    const hash = '#access_token=a.b.c&token_type=bearer&expires_in=3600&expires_at=1700003600&refresh_token=r&type=recovery';
    expect(readLanding(hash, NOW_MS)).toEqual({ kind: 'session', type: 'recovery', accessToken: 'a.b.c', refreshToken: 'r', expiresAt: 1_700_003_600 });
  });

  it('says its end in another way, or not at all', () => {
    expect(readLanding('#access_token=a&refresh_token=r&expires_in=60', NOW_MS)).toMatchObject({ type: '', expiresAt: 1_700_000_060 });
    expect(readLanding('#access_token=a&refresh_token=r&expires_at=soon', NOW_MS)).toMatchObject({ expiresAt: 1_700_000_060 });
  });

  it('is a reason in words', () => {
    const spent = readLanding('#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid', NOW_MS);
    expect(spent).toEqual({ kind: 'refused', why: 'This link was used already, or it is too old. Ask for another one.' });
    expect(readLanding('#error=access_denied&error_description=The+provider+said+no', NOW_MS)).toEqual({ kind: 'refused', why: 'The provider said no' });
    const busy = readLanding('#error=server_error&error_code=unexpected_failure&error_description=No', NOW_MS);
    expect(busy).toMatchObject({ kind: 'refused', why: expect.stringContaining('The link still works') });
    expect(readLanding('#error=x', NOW_MS)).toEqual({ kind: 'refused', why: 'The link did not work.' });
  });

  it('is nothing where the fragment is somebody else’s, or half a session', () => {
    for (const hash of ['', '#', '#main', '#access_token=a', '#refresh_token=r', '#access_token=&refresh_token=r']) {
      expect(readLanding(hash, NOW_MS), hash).toBeNull();
    }
  });

  it('is greeted by what it was for', () => {
    expect(welcome('signup', 'vera@example.com')).toBe('Your address is confirmed. You are signed in as vera@example.com.');
    expect(welcome('magiclink', 'vera@example.com')).toBe('You are signed in as vera@example.com.');
    expect(welcome('recovery', 'vera@example.com')).toBeNull();
  });
});

describe('pages of what was watched', () => {
  it('the header says where the next one is, with or without a host', () => {
    expect(nextOf('</me/history?limit=24&cursor=abc>; rel="next"')).toBe('/me/history?limit=24&cursor=abc');
    expect(nextOf('<https://site.example/me/history?cursor=b>; rel=next')).toBe('/me/history?cursor=b');
    expect(nextOf('</first>; rel="first", </me/history?cursor=c>; rel="next"')).toBe('/me/history?cursor=c');
  });

  it('the last one has none', () => {
    expect([nextOf(null), nextOf(''), nextOf('</x>; rel="prev"')]).toEqual([null, null, null]);
  });
});
