// Uploads a file with tus-js-client in small pieces, stops in the middle, goes on with a new client, and waits for its job.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createClient } from '@supabase/supabase-js';
import * as tus from 'tus-js-client';

const { url, key, email, password, path } = JSON.parse(process.argv[2]);
const client = createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  // Node 20 has no WebSocket of its own, and nothing here opens one.
  realtime: { transport: class {} },
});
const { data, error } = await client.auth.signInWithPassword({ email, password });
if (error) throw error;

const size = statSync(path).size;
const options = {
  endpoint: `${url}/storage/v1/upload/resumable`,
  headers: { apikey: key, authorization: `Bearer ${data.session.access_token}` },
  chunkSize: Math.ceil(size / 5),
  uploadSize: size,
  retryDelays: null,
  metadata: { filename: 'clip.mp4', title: 'By another client', content_type: 'MOVIE', is_free: 'true' },
};

const location = await new Promise((resolve, reject) => {
  const upload = new tus.Upload(readFileSync(path), {
    ...options,
    onError: reject,
    onChunkComplete: async (_, sent) => {
      if (sent < size) {
        await upload.abort();
        resolve(upload.url);
      }
    },
  });
  upload.start();
});

const head = await fetch(location, { method: 'HEAD', headers: { ...options.headers, 'Tus-Resumable': '1.0.0' } });
const resumed_at = Number(head.headers.get('upload-offset'));
await new Promise((resolve, reject) => {
  new tus.Upload(createReadStream(path), { ...options, uploadUrl: location, onError: reject, onSuccess: resolve }).start();
});

const fileId = location.replace(/\/$/, '').split('/').pop();
const deadline = Date.now() + 90_000;
let state = null;
while (Date.now() < deadline && !['succeeded', 'failed', 'cancelled'].includes(state)) {
  const { data: jobs } = await client.from('transcode_jobs').select('state').eq('file_id', fileId);
  state = jobs?.[0]?.state ?? null;
  await new Promise((resolve) => setTimeout(resolve, 200));
}
console.log(JSON.stringify({ resumed_at, size, state }));
