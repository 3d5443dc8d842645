/** What a mailed link, or a sign-in provider, left in the address: a session, or why there is none. Pure. */

export type Landing =
  | { kind: 'session'; type: string; accessToken: string; refreshToken: string; expiresAt: number }
  | { kind: 'refused'; why: string };

const REFUSED: Record<string, string> = {
  otp_expired: 'This link was used already, or it is too old. Ask for another one.',
};
const BUSY = 'The server cannot do this right now. The link still works: open it once more in a moment.';

/** `hash` is the address's fragment with its `#`; null where it is none of ours. */
export function readLanding(hash: string, nowMs: number): Landing | null {
  const said = new URLSearchParams(hash.replace(/^#/, ''));
  const [accessToken, refreshToken] = [said.get('access_token'), said.get('refresh_token')];
  if (accessToken && refreshToken) {
    const at = Number(said.get('expires_at'));
    const lasts = Number(said.get('expires_in'));
    const expiresAt = at > 0 ? at : Math.floor(nowMs / 1000) + (lasts > 0 ? lasts : 60);
    return { kind: 'session', type: said.get('type') ?? '', accessToken, refreshToken, expiresAt };
  }
  if (!said.get('error')) return null;
  if (said.get('error') === 'server_error') return { kind: 'refused', why: BUSY };
  return { kind: 'refused', why: REFUSED[said.get('error_code') ?? ''] ?? said.get('error_description') ?? 'The link did not work.' };
}

/** What is said on arrival, by what the link was for; nothing where the page that opens says it. */
export function welcome(type: string, name: string): string | null {
  switch (type) {
    case 'recovery':
      return null;
    case 'signup':
    case 'email':
      return `Your address is confirmed. You are signed in as ${name}.`;
    case 'email_change':
      return `Your new address is confirmed: ${name}.`;
    default:
      return `You are signed in as ${name}.`;
  }
}
