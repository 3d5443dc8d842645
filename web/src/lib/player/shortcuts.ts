/** Keys of the player. Decides what a key means; does nothing itself. */

export type Action =
  | { do: 'toggle' | 'fullscreen' | 'mute' | 'captions' | 'help' | 'pip' | 'next' }
  | { do: 'by'; seconds: number }
  | { do: 'to'; fraction: number }
  | { do: 'volume'; change: number }
  | { do: 'rate'; step: number };

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/** What the key presses land on: a field takes letters, a button takes space and enter. */
export type Landing = 'page' | 'button' | 'field';

export const SHORTCUTS: readonly (readonly [string, string])[] = [
  ['Space or K', 'Play or pause'],
  ['← →', '5 seconds back or on'],
  ['J L', '10 seconds back or on'],
  ['↑ ↓', 'Louder or quieter'],
  ['0 – 9', 'To that tenth of the title'],
  ['< >', 'Slower or faster'],
  ['M', 'Mute'],
  ['C', 'Subtitles'],
  ['F', 'Full screen'],
  ['P', 'Picture in picture'],
  ['N', 'Next episode'],
  ['?', 'This list'],
];

export function actionOf(pressed: Pressed, landing: Landing): Action | null {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || landing === 'field') return null;
  switch (pressed.key) {
    case ' ':
      return landing === 'button' ? null : { do: 'toggle' };
    case 'ArrowLeft':
      return { do: 'by', seconds: -5 };
    case 'ArrowRight':
      return { do: 'by', seconds: 5 };
    case 'ArrowUp':
      return { do: 'volume', change: 0.05 };
    case 'ArrowDown':
      return { do: 'volume', change: -0.05 };
    case '<':
      return { do: 'rate', step: -1 };
    case '>':
      return { do: 'rate', step: 1 };
    case '?':
      return { do: 'help' };
  }
  if (/^[0-9]$/.test(pressed.key)) return { do: 'to', fraction: Number(pressed.key) / 10 };
  switch (pressed.key.toLowerCase()) {
    case 'k':
      return { do: 'toggle' };
    case 'j':
      return { do: 'by', seconds: -10 };
    case 'l':
      return { do: 'by', seconds: 10 };
    case 'f':
      return { do: 'fullscreen' };
    case 'm':
      return { do: 'mute' };
    case 'c':
      return { do: 'captions' };
    case 'p':
      return { do: 'pip' };
    case 'n':
      return { do: 'next' };
    default:
      return null;
  }
}
