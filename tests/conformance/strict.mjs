// Parses every playlist of a JSON file {name: text} with hls-parser in strict mode; the first violation ends it.
import { readFileSync } from 'node:fs';
import * as HLS from 'hls-parser';

HLS.setOptions({ strictMode: true, silent: true });
const playlists = JSON.parse(readFileSync(process.argv[2], 'utf8'));
for (const [name, text] of Object.entries(playlists)) {
  try {
    HLS.parse(text);
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exit(1);
  }
}
console.log(`${Object.keys(playlists).length} parsed`);
