/** Artwork for a title without a poster: drawn from its id, so it is the same everywhere and for ever. Pure. */

export interface Artwork {
  /** CSS colours, dark to light. */
  ground: string;
  deep: string;
  glow: string;
  line: string;
  /** One of the drawings. */
  figure: 'sluice' | 'rings' | 'strata' | 'arc';
  /** Four numbers in 0..1 that place the drawing. */
  turns: readonly [number, number, number, number];
}

/** FNV-1a, 32 bits: spreads even neighbouring ids. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  // A last mix: FNV's low bits follow the last character closely.
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  h ^= h >>> 12;
  return h >>> 0;
}

/** Hues that sit well beside the accent on a dark page. */
const HUES = [188, 204, 222, 246, 268, 322, 348, 14, 32, 158] as const;
const FIGURES = ['sluice', 'rings', 'strata', 'arc'] as const;

export function drawArtwork(id: string): Artwork {
  const h = hashText(id);
  const hue = HUES[h % HUES.length] ?? 204;
  const second = (hue + 28 + ((h >>> 8) % 30)) % 360;
  const unit = (shift: number): number => ((h >>> shift) & 0xff) / 255;
  return {
    ground: `hsl(${hue} 34% 13%)`,
    deep: `hsl(${hue} 42% 22%)`,
    glow: `hsl(${second} 46% 46%)`,
    line: `hsl(${second} 60% 78%)`,
    figure: FIGURES[(h >>> 4) % FIGURES.length] ?? 'rings',
    turns: [unit(0), unit(6), unit(13), unit(21)],
  };
}

/** Cuts a title into at most `lines` lines of about `width` characters, for the drawing. */
export function breakTitle(title: string, width: number, lines: number): string[] {
  const out: string[] = [];
  for (const word of title.trim().split(/\s+/)) {
    const last = out.length - 1;
    const current = out[last];
    if (current !== undefined && current.length + 1 + word.length <= width) out[last] = `${current} ${word}`;
    else out.push(word);
  }
  const kept = out.slice(0, lines).map((line) => (line.length > width + 4 ? `${line.slice(0, width + 2)}…` : line));
  const end = kept.length - 1;
  if (out.length > lines && kept[end] !== undefined && !kept[end].endsWith('…')) kept[end] += '…';
  return kept;
}
