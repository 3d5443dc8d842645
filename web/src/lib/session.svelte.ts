/**
 * Who is signed in. Keeps GoTrue's tokens in localStorage, renews them before they end, and agrees with other tabs.
 * A refresh token is spent by one use, so only one tab may renew at a time: navigator.locks where there is one.
 */

import { callJson, call, useTokens } from './api';
import { welcome, type Landing } from './landing';
import { inWords, Refusal } from './refusal';
import { dropStored, readStored, writeStored } from './stored';

export interface Person {
  id: string;
  email: string;
  app_metadata?: { role?: string };
  user_metadata?: { name?: string };
}

export interface Tokens {
  access_token: string;
  refresh_token: string;
  /** Seconds since 1970. */
  expires_at: number;
  user: Person;
}

interface TokenAnswer extends Omit<Tokens, 'expires_at'> {
  expires_in: number;
  expires_at?: number;
}

const KEY = 'penstock.session';
const STAFF_ROLES = new Set(['admin', 'super_admin', 'staff']);
/** Renew this long before the end, so that a slow request still arrives in time. */
const MARGIN_S = 60;

function readTokens(): Tokens | null {
  const kept = readStored<Tokens>(KEY);
  return kept && typeof kept.access_token === 'string' && typeof kept.refresh_token === 'string' && kept.user ? kept : null;
}

/** A mailed link works once: a busy server or a lost connection must not cost the person another mail. */
const LANDING_TRIES = 8;
const LANDING_WAIT_MS = 2000;

async function readPerson(bearer: string): Promise<Person> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await callJson<Person>('/auth/v1/user', { bearer });
    } catch (error) {
      if (!(error instanceof Refusal) || !error.isPassing || tried >= LANDING_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, LANDING_WAIT_MS));
    }
  }
}

class Session {
  #tokens = $state.raw<Tokens | null>(readTokens());
  /** Why the person was signed out without asking for it. */
  ended = $state<string | null>(null);
  /** Said once, over whatever page is open. */
  said = $state<string | null>(null);
  /** A link's session is being taken up. */
  isLanding = $state(false);
  #renewal: Promise<string | null> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    useTokens((force) => this.accessToken(force));
    addEventListener('storage', (event) => {
      if (event.key === KEY || event.key === null) this.#adopt(readTokens());
    });
    this.#schedule();
  }

  get person(): Person | null {
    return this.#tokens?.user ?? null;
  }

  get isSignedIn(): boolean {
    return this.#tokens !== null;
  }

  get isStaff(): boolean {
    return STAFF_ROLES.has(this.#tokens?.user.app_metadata?.role ?? '');
  }

  get expiresAt(): number | null {
    return this.#tokens?.expires_at ?? null;
  }

  async signIn(email: string, password: string): Promise<void> {
    this.#keep(await callJson('/auth/v1/token?grant_type=password', { body: { email, password }, signed: false, isRepeatable: true }));
  }

  /** Whether the person is signed in at once; if not, their address has to be proven first. */
  async signUp(email: string, password: string, name: string): Promise<boolean> {
    const body = name ? { email, password, data: { name } } : { email, password };
    const answer = await callJson<Partial<TokenAnswer>>('/auth/v1/signup', { body, signed: false });
    if (!answer.access_token) return false;
    this.#keep(answer as TokenAnswer);
    return true;
  }

  /** Takes up the session that a mailed link or a sign-in provider gave. */
  async land(landing: Landing): Promise<void> {
    if (landing.kind === 'refused') {
      if (this.isSignedIn) this.said = landing.why;
      else this.ended = landing.why;
      return;
    }
    const { accessToken: access_token, refreshToken: refresh_token, expiresAt: expires_at } = landing;
    this.isLanding = true;
    try {
      const user = await readPerson(access_token);
      const tokens: Tokens = { access_token, refresh_token, expires_at, user };
      writeStored(KEY, tokens);
      this.#adopt(tokens);
      this.said = welcome(landing.type, user.email);
    } catch (error) {
      this.ended = `The link did not work. ${inWords(error)}`;
    } finally {
      this.isLanding = false;
    }
  }

  /** Asks for the mail with a way to a new password. */
  async recover(email: string): Promise<void> {
    await call('/auth/v1/recover', { body: { email }, signed: false });
  }

  /** Asks once more for the mail that proves an address. */
  async sendAgain(email: string): Promise<void> {
    await call('/auth/v1/resend', { body: { type: 'signup', email }, signed: false });
  }

  /** Another name or password; a new password signs every other device out. */
  async change(what: { password?: string; current_password?: string; data?: { name: string } }): Promise<void> {
    const user = await callJson<Person>('/auth/v1/user', { method: 'PUT', body: what });
    const kept = readTokens();
    if (!kept) return;
    const tokens = { ...kept, user };
    writeStored(KEY, tokens);
    this.#adopt(tokens);
  }

  async signOutOthers(): Promise<void> {
    await call('/auth/v1/logout?scope=others', { method: 'POST' });
  }

  /** Signs out here even when the server cannot be told. */
  async signOut(): Promise<void> {
    const token = this.#tokens?.access_token;
    this.#forget(null);
    if (!token) return;
    try {
      await call('/auth/v1/logout?scope=local', { method: 'POST', bearer: token });
    } catch (error) {
      console.info('the server was not told about the sign-out', error);
    }
  }

  async accessToken(force = false): Promise<string | null> {
    const now = this.#tokens;
    if (!now) return null;
    if (!force && now.expires_at - Date.now() / 1000 > MARGIN_S) return now.access_token;
    this.#renewal ??= this.#renew(now.access_token).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #renew(stale: string): Promise<string | null> {
    const turn = async (): Promise<string | null> => {
      // Another tab may have renewed while this one waited for its turn.
      const kept = readTokens();
      if (!kept) {
        this.#adopt(null);
        return null;
      }
      if (kept.access_token !== stale) {
        this.#adopt(kept);
        return kept.access_token;
      }
      try {
        const body = { refresh_token: kept.refresh_token };
        const answer = await callJson<TokenAnswer>('/auth/v1/token?grant_type=refresh_token', { body, signed: false });
        // Signed out meanwhile: a late answer must not sign the person in again.
        return readTokens() ? this.#keep(answer) : null;
      } catch (error) {
        if (error instanceof Refusal && (error.status === 400 || error.status === 401 || error.status === 403)) {
          this.#forget('Your sign-in has ended. Please sign in again.');
          return null;
        }
        // The server is away: the old token is right until it ends, and the next call tries again.
        if (kept.expires_at > Date.now() / 1000) return kept.access_token;
        throw error;
      }
    };
    return navigator.locks ? await navigator.locks.request('penstock.renew', turn) : await turn();
  }

  #keep(answer: TokenAnswer): string {
    const expires_at = answer.expires_at ?? Math.floor(Date.now() / 1000) + answer.expires_in;
    const { access_token, refresh_token, user } = answer;
    const tokens: Tokens = { access_token, refresh_token, expires_at, user };
    writeStored(KEY, tokens);
    this.#adopt(tokens);
    return access_token;
  }

  #adopt(tokens: Tokens | null): void {
    this.#tokens = tokens;
    if (tokens) this.ended = null;
    this.#schedule();
  }

  #forget(why: string | null): void {
    dropStored(KEY);
    this.#adopt(null);
    this.ended = why;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.#tokens) return;
    const leftS = this.#tokens.expires_at - Date.now() / 1000 - MARGIN_S;
    // setTimeout takes at most 2^31 ms; a failed renewal is tried again after half a minute.
    const waitMs = Math.min(Math.max(leftS * 1000, 30_000), 2_000_000_000);
    this.#timer = setTimeout(() => {
      this.accessToken().catch((error: unknown) => console.info('the access token was not renewed', error));
      this.#schedule();
    }, waitMs);
  }
}

export const session = new Session();
