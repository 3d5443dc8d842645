import { describe, expect, it } from 'vitest';
import { parseSprites, spriteAt } from '../src/lib/player/sprite';

const VTT = `WEBVTT

NOTE made for a test

1
00:00:00.000 --> 00:00:05.000
sprite-0.jpg#xywh=0,0,160,90

00:05.000 --> 00:10.000 align:start
sprite-0.jpg#xywh=160,0,160,90

01:00:00.000 --> 01:00:05.000
sprite-1.jpg#xywh=pixel:0,90,160,90
`;

describe('sprite cues', () => {
  it('are read with and without hours, ids and settings', () => {
    expect(parseSprites(VTT)).toEqual([
      { start_s: 0, end_s: 5, file: 'sprite-0.jpg', x: 0, y: 0, w: 160, h: 90 },
      { start_s: 5, end_s: 10, file: 'sprite-0.jpg', x: 160, y: 0, w: 160, h: 90 },
      { start_s: 3600, end_s: 3605, file: 'sprite-1.jpg', x: 0, y: 90, w: 160, h: 90 },
    ]);
  });

  it('take Windows line ends and a byte order mark', () => {
    expect(parseSprites(`\uFEFF${VTT.replaceAll('\n', '\r\n')}`)).toHaveLength(3);
  });

  it.each([
    ['no WebVTT', '<html></html>'],
    ['a word that only begins like it', 'WEBVTTX\n\n00:00.000 --> 00:01.000\na.jpg#xywh=0,0,1,1'],
    ['a cue that ends before it begins', 'WEBVTT\n\n00:05.000 --> 00:01.000\na.jpg#xywh=0,0,1,1'],
    ['a cue without a rectangle', 'WEBVTT\n\n00:00.000 --> 00:01.000\na.jpg'],
    ['a rectangle of no size', 'WEBVTT\n\n00:00.000 --> 00:01.000\na.jpg#xywh=0,0,0,90'],
  ])('leave out %s', (_, text) => {
    expect(parseSprites(text)).toEqual([]);
  });

  it('are found by time; between two the earlier one shows', () => {
    const cues = parseSprites(VTT);
    expect(spriteAt(cues, 0)?.x).toBe(0);
    expect(spriteAt(cues, 4.999)?.x).toBe(0);
    expect(spriteAt(cues, 5)?.x).toBe(160);
    expect(spriteAt(cues, 1800)?.x).toBe(160);
    expect(spriteAt(cues, 9999)?.file).toBe('sprite-1.jpg');
    expect(spriteAt([], 3)).toBeNull();
  });
});
