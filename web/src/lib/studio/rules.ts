/** The named rules that a result is checked against before anybody can see it, in a person's words. */

const RULES: Record<string, string> = {
  playlist: 'Every playlist is whole, and everything it names is there.',
  'target-duration': 'No segment is longer than its playlist promises.',
  extinf: 'Each segment is as long as its playlist says.',
  duration: 'Every rendition lasts as long as the source.',
  'first-pts': 'Every rendition begins at zero.',
  continuity: 'Each segment begins where the one before it ends.',
  'key-frame': 'Every segment begins with a picture that needs no other.',
  alignment: 'All renditions are cut at the same instants.',
  init: 'The init segment describes one track, and holds no media.',
  fragment: 'Segments are whole boxes whose sizes add up.',
  codecs: 'The codecs that are named are the ones inside.',
  range: 'The dynamic range that is named is the one inside.',
  score: 'Either every variant is ranked, or none.',
  resolution: 'Size and frame rate are as stated.',
  bandwidth: 'The stated bit rates are what the segments measure.',
  groups: 'Every sound and subtitle choice that is named exists.',
  'i-frames': 'The pictures for seeking are where their playlist says.',
  text: 'Subtitles run on the clock of the picture.',
  encryption: 'Nothing of an encrypted title is stored in the clear.',
  decode: 'All that was encoded is decoded without a complaint.',
  samples: 'What players get is what was decoded, picture for picture.',
  checksum: 'The store holds what was made.',
};

/** What `rule` asks for; null when it is one that this page does not know. */
export function ruleWords(rule: string): string | null {
  return RULES[rule] ?? null;
}
