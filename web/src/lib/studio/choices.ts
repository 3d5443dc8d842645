/** How the next upload is to be encoded: what can be chosen, what it means, and what was chosen last. */

import { readStored, writeStored } from '../stored';

export type Codecs = 'set' | 'h264' | 'h264,hevc' | 'h264,hevc,av1';
export type Quality = 'set' | 'fast' | 'auto';
export type Encryption = 'set' | 'none' | 'aes-128';

/** `set`: as the installation is set; nothing is asked for then. */
export interface Choices {
  codecs: Codecs;
  quality: Quality;
  encryption: Encryption;
}

export interface Option<T> {
  value: T;
  label: string;
  means: string;
}

const AS_SET = 'As this installation is set by its operator.';

export const CODECS: readonly Option<Codecs>[] = [
  { value: 'set', label: 'Usual', means: AS_SET },
  { value: 'h264', label: 'H.264', means: 'Plays on every device, and is encoded the fastest.' },
  { value: 'h264,hevc', label: 'H.264 + HEVC', means: 'About 30 % fewer bytes where HEVC plays, and high dynamic range is kept; takes several times as long.' },
  { value: 'h264,hevc,av1', label: 'H.264 + HEVC + AV1', means: 'About 40 % fewer bytes on newer devices, and high dynamic range is kept; takes the longest.' },
];

export const QUALITIES: readonly Option<Quality>[] = [
  { value: 'set', label: 'Usual', means: AS_SET },
  { value: 'fast', label: 'Fast', means: 'The usual sizes and bit rates; encoding begins at once.' },
  { value: 'auto', label: 'Auto', means: 'Samples of the title are measured first, and sizes and bit rates chosen for it.' },
];

export const ENCRYPTIONS: readonly Option<Encryption>[] = [
  { value: 'set', label: 'Usual', means: AS_SET },
  { value: 'none', label: 'None', means: 'Playlists and segments are protected by the playback token alone; DASH players are served too.' },
  { value: 'aes-128', label: 'AES-128', means: 'Only ciphertext is stored; who may watch is given the key. HLS only, and not playable before it is whole.' },
];

const KEY = 'penstock.encoding';
const USUAL: Choices = { codecs: 'set', quality: 'set', encryption: 'set' };

function known<T extends string>(options: readonly Option<T>[], value: unknown): T {
  return (options.find((option) => option.value === value) ?? options[0]!).value;
}

/** What was chosen last in this browser, without anything that is no choice any more. */
export function readChoices(): Choices {
  const kept = readStored<Partial<Choices>>(KEY) ?? USUAL;
  return { codecs: known(CODECS, kept.codecs), quality: known(QUALITIES, kept.quality), encryption: known(ENCRYPTIONS, kept.encryption) };
}

export function keepChoices(choices: Choices): void {
  writeStored(KEY, choices);
}

export function isUsual(choices: Choices): boolean {
  return choices.codecs === 'set' && choices.quality === 'set' && choices.encryption === 'set';
}

/** The keys of `Upload-Metadata` that say it. */
export function metadataOf(choices: Choices): Record<string, string> {
  return {
    ...(choices.codecs === 'set' ? {} : { codecs: choices.codecs }),
    ...(choices.quality === 'set' ? {} : { quality: choices.quality }),
    ...(choices.encryption === 'set' ? {} : { encrypt: String(choices.encryption === 'aes-128') }),
  };
}

export function meaningOf<T>(options: readonly Option<T>[], value: T): string {
  return options.find((option) => option.value === value)?.means ?? '';
}
