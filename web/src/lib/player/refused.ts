/** Why a title does not play, in words, and what the person can do. Pure. */

import { inWords, type Refusal } from '../refusal';

export interface Explanation {
  icon: 'lock' | 'help' | 'play';
  heading: string;
  why: string;
  /** `sign-in`: go there; `retry`: ask again; `wait`: it is being encoded. */
  remedy: 'sign-in' | 'retry' | 'wait' | 'none';
}

export function explain(refusal: Refusal, isSignedIn: boolean): Explanation {
  const said = inWords(refusal);
  if (refusal.status === 401 && !isSignedIn) {
    return { icon: 'lock', heading: 'Sign in to watch this', why: 'This title is for people who own it. Sign in, and if it is in your library it starts right away.', remedy: 'sign-in' };
  }
  if (refusal.status === 401) return { icon: 'lock', heading: 'Please sign in again', why: 'Your sign-in is no longer valid.', remedy: 'sign-in' };
  if (refusal.reason === 'media') return { icon: 'help', heading: 'This did not play', why: said, remedy: 'retry' };
  if (refusal.status === 404) return { icon: 'help', heading: 'There is no such title', why: 'It may have been taken down, or the link is wrong.', remedy: 'none' };
  if (refusal.status === 409) {
    return { icon: 'play', heading: 'Almost there', why: 'This title is still being prepared for playing. It starts here by itself as soon as it is ready.', remedy: 'wait' };
  }
  if (refusal.status === 410) return { icon: 'play', heading: 'This viewing has ended', why: 'The permission to play this title has run out. Your place is kept.', remedy: 'retry' };
  if (refusal.status === 403) {
    switch (refusal.reason) {
      case 'sign_in_needed':
        return { icon: 'lock', heading: 'Sign in to watch this', why: said, remedy: 'sign-in' };
      case 'not_entitled':
        return { icon: 'lock', heading: 'This title is not in your library', why: 'You are signed in, but you do not own this title, or your rental has ended.', remedy: 'none' };
      case 'banned':
        return { icon: 'lock', heading: 'Your account is blocked', why: 'Watching is not possible with it. Ask the people who run this site.', remedy: 'none' };
      case 'not_published':
        return { icon: 'help', heading: 'Not published', why: 'This title is not open to viewers at the moment.', remedy: 'none' };
      case 'too_many_streams': {
        const where = refusal.devices.length > 0 ? ` Playing on: ${refusal.devices.join(', ')}.` : '';
        return { icon: 'lock', heading: 'Playing on too many devices', why: `Stop watching on another one, then try again.${where}`, remedy: 'retry' };
      }
      case 'region':
        return { icon: 'lock', heading: 'Not available where you are', why: said, remedy: 'none' };
      default:
        return { icon: 'lock', heading: 'Access has ended', why: `${said} Your place is kept.`, remedy: 'retry' };
    }
  }
  if (refusal.isOffline) return { icon: 'help', heading: 'The server cannot be reached', why: said, remedy: 'retry' };
  return { icon: 'help', heading: 'This did not play', why: said, remedy: 'retry' };
}
