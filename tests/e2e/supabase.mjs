// Signs in with supabase-js, reads the catalogue and a library, refreshes, signs out; prints what it saw.
import { createClient } from '@supabase/supabase-js';

const { url, key, email, password } = JSON.parse(process.argv[2]);
const client = createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  // Node 20 has no WebSocket of its own, and nothing here opens one.
  realtime: { transport: class {} },
});

const must = ({ data, error }) => {
  if (error) throw new Error(JSON.stringify(error));
  return data;
};

const wrong = await client.auth.signInWithPassword({ email, password: `${password}x` });
const { user, session } = must(await client.auth.signInWithPassword({ email, password }));
const titles = must(await client.from('contents').select('id,title,genres(title)').eq('is_free', true).eq('is_published', true).order('title'));
const library = must(await client.from('user_library').select('content_id').eq('user_id', user.id));
const renewed = must(await client.auth.refreshSession({ refresh_token: session.refresh_token }));
must({ data: 1, ...(await client.auth.signOut()) });
const after = (await client.auth.getUser(undefined)).data.user;

console.log(
  JSON.stringify({
    email: user.email,
    titles: titles.length,
    library: library.length,
    refreshed: renewed.session.access_token !== session.access_token || renewed.session.refresh_token !== session.refresh_token,
    wrong: wrong.error?.message,
    after,
  }),
);
