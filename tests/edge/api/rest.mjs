// What people do with supabase-js and postgrest-js, unmodified; prints what came back.
import { PostgrestClient } from '@supabase/postgrest-js';
import { createClient } from '@supabase/supabase-js';

const { url, anon, key, film } = JSON.parse(process.argv[2]);
const options = {
  auth: { persistSession: false, autoRefreshToken: false },
  // Node 20 has no WebSocket of its own, and nothing here opens one.
  realtime: { transport: class {} },
};
const guest = createClient(url, anon, options);
const staff = createClient(url, key, options);
const bare = new PostgrestClient(`${url}/rest/v1`, { headers: { apikey: key, Authorization: `Bearer ${key}` } });

const must = (answer) => {
  if (answer.error) throw new Error(JSON.stringify(answer.error));
  return answer;
};
const refused = ({ error, status }) => ({ status, code: error.code, hint: error.hint });
const said = {};

// Writes: one, many with different keys, merged by another key than the primary one, ignored, counted.
said.made = must(await staff.from('genres').insert({ title: 'Drama', slug: 'drama' }).select('title,slug').single()).data;
said.minimal = must(await staff.from('genres').insert({ title: 'Silent', slug: 'silent' })).status;
said.bulk = must(
  await staff.from('genres').insert([{ title: 'Noir', slug: 'noir' }, { title: 'Western', description: 'Hats' }], { defaultToNull: false }).select('title,description'),
).data;
said.merged = must(await staff.from('genres').upsert({ title: 'Serious', slug: 'drama' }, { onConflict: 'slug' }).select('title').single()).data;
said.ignored = must(
  await staff.from('genres').upsert({ title: 'Other', slug: 'drama' }, { onConflict: 'slug', ignoreDuplicates: true }).select(),
).data;
said.updated = must(await bare.from('genres').update({ description: 'Dark' }, { count: 'exact' }).eq('slug', 'noir')).count;
said.deleted = must(await bare.from('genres').delete({ count: 'exact' }).eq('slug', 'silent').select('title'));
said.deleted = [said.deleted.count, said.deleted.data];
const [{ id }] = must(await staff.from('genres').select('id').eq('slug', 'drama')).data;
must(await staff.from('content_genres').insert({ content_id: film, genre_id: id }));

// Reads: embeds, filters inside them, counts, ranges, one or none, CSV, a stream of conditions.
said.embedded = must(await guest.from('contents').select('title,genres!inner(title)').eq('genres.title', 'Serious')).data;
said.counted = must(await guest.from('contents').select('genres(count)').eq('id', film).single()).data;
said.head = must(await guest.from('genres').select('*', { count: 'exact', head: true })).count;
said.range = must(await guest.from('genres').select('title', { count: 'exact' }).order('title').range(1, 2));
said.range = [said.range.count, said.range.data.map((row) => row.title)];
said.logic = must(
  await bare.from('genres').select('title').or('slug.eq.noir,and(title.ilike.w*,description.not.is.null)').order('title', { ascending: false }),
).data.map((row) => row.title);
said.listed = must(await bare.from('genres').select('title').in('title', ['Noir', 'No, "such"']).not('slug', 'is', null)).data.length;
said.searched = must(await bare.from('genres').select('title').textSearch('description', 'hats', { type: 'websearch', config: 'english' })).data;
said.nobody = must(await guest.from('genres').select('*').eq('slug', 'nobody').maybeSingle()).data;
said.csv = must(await guest.from('genres').select('title').eq('slug', 'noir').csv()).data;
said.aborted = (await guest.from('genres').select().abortSignal(AbortSignal.abort())).error !== null;

// Commands.
const price = { content_id: film, price: '9.90', currency: 'EUR' };
said.priced = must(await staff.rpc('add_content_price', price)).data.price;
said.offer = must(await guest.rpc('content_offer', { content_id: film }, { get: true })).data.prices.map((one) => one.currency);
said.posted = must(await guest.rpc('content_offer', { content_id: film })).data.prices.length;

// Errors.
said.errors = {
  guest: refused(await guest.from('genres').insert({ title: 'x' })),
  column: refused(await guest.from('genres').select('titel')),
  table: refused(await guest.from('genre').select()),
  value: refused(await guest.from('genres').select().eq('id', 7)),
  twice: refused(await staff.from('genres').insert({ title: 'x', slug: 'drama' })),
  single: refused(await staff.from('genres').select().single()),
  everything: refused(await staff.from('genres').delete()),
  many: refused(await bare.from('genres').update({ description: '' }).neq('title', '').maxAffected(1)),
  command: refused(await staff.rpc('add_content_prise', price)),
  argument: refused(await staff.rpc('add_content_price', { ...price, price: -1 })),
};

console.log(JSON.stringify(said));
