/** WebVTT whose cues point into sprites (`sprite.jpg#xywh=160,0,160,90`). Pure. */

export interface SpriteCue {
  start_s: number;
  end_s: number;
  /** As written, relative to the VTT: it is resolved when drawn, since the token in the path may have changed. */
  file: string;
  x: number;
  y: number;
  w: number;
  h: number;
}

const TIMES = /^((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s+-->\s+((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})/;

function secondsOf(stamp: string): number {
  return stamp
    .replace(',', '.')
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** Cues that make no sense are left out; a text that is no WebVTT gives none. Sorted by time. */
export function parseSprites(text: string): SpriteCue[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  if (!/^WEBVTT(?:[ \t]|$)/.test(lines[0] ?? '')) return [];
  const cues: SpriteCue[] = [];
  for (let i = 1; i < lines.length; i += 1) {
    const times = TIMES.exec((lines[i] ?? '').trim());
    if (!times) continue;
    const target = (lines[i + 1] ?? '').trim();
    const place = /^(.*?)#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/.exec(target);
    const [start_s, end_s] = [secondsOf(times[1] ?? ''), secondsOf(times[2] ?? '')];
    if (!place || !(end_s > start_s)) continue;
    const [x, y, w, h] = place.slice(2, 6).map(Number) as [number, number, number, number];
    if (w === 0 || h === 0) continue;
    cues.push({ start_s, end_s, file: place[1] ?? '', x, y, w, h });
  }
  return cues.sort((a, b) => a.start_s - b.start_s);
}

/** The cue at a time: binary search; between two cues the earlier one still shows. */
export function spriteAt(cues: readonly SpriteCue[], seconds: number): SpriteCue | null {
  let low = 0;
  let high = cues.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((cues[middle]?.start_s ?? Infinity) <= seconds) low = middle + 1;
    else high = middle;
  }
  return cues[low - 1] ?? null;
}
