import { describe, expect, it } from 'vitest';
import { isOffered, languageOfFile, type Track } from '../src/lib/studio/subtitles';

function track(language: string, label: string): Track {
  return { id: '', kind: 'subtitles', language, label, is_default: false };
}

describe('subtitles of a title', () => {
  it('a file’s name says its language, or nothing does', () => {
    expect(languageOfFile('film.de.srt')).toBe('de');
    expect(languageOfFile('A film.pt-BR.vtt')).toBe('pt-BR');
    expect(languageOfFile('film.srt')).toBe('');
    expect(languageOfFile('a.great.film.srt')).toBe('');
  });

  it('a track is offered when what plays has it', () => {
    const playing = [{ name: 'Deutsch', language: 'de' }, { name: 'Director 2', language: 'en' }];
    expect(isOffered(track('de', 'de'), playing)).toBe(true);
    expect(isOffered(track('en', 'Director'), playing)).toBe(true);
    expect(isOffered(track('en', 'English'), playing)).toBe(false);
    expect(isOffered(track('fr', 'fr'), playing)).toBe(false);
  });
});
