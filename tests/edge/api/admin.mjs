// What a server does with supabase-js's auth.admin, and what a browser may not; prints what it saw.
import { createClient } from '@supabase/supabase-js';

const { url, anon, key } = JSON.parse(process.argv[2]);
const open = (secret) =>
  createClient(url, secret, { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } });
const { admin } = open(key).auth;
const guest = open(anon);
const must = ({ data, error }) => {
  if (error) throw new Error(JSON.stringify(error));
  return data;
};
const said = ({ error }) => [error?.status, error?.code];

const email = 'Nora@Example.org';
const made = must(
  await admin.createUser({ email, password: 'a long enough one', email_confirm: true, user_metadata: { name: 'Nora' }, app_metadata: { role: 'teacher' } }),
).user;
const bare = must(await admin.createUser({ email: 'otto.b@example.org' })).user;
const got = must(await admin.getUserById(made.id)).user;
const first = must(await admin.listUsers({ page: 1, perPage: 1 }));
const all = must(await admin.listUsers());
const session = must(await guest.auth.signInWithPassword({ email, password: 'a long enough one' }));
const changed = must(await admin.updateUserById(made.id, { email: 'nora.n@example.org', password: 'another long one', user_metadata: { name: 'Nora N.' } })).user;
const ended = said(await guest.auth.refreshSession({ refresh_token: session.session.refresh_token }));
const again = must(await guest.auth.signInWithPassword({ email: 'nora.n@example.org', password: 'another long one' })).user;
const banned = must(await admin.updateUserById(made.id, { ban_duration: '24h' })).user;
const kept_out = said(await guest.auth.signInWithPassword({ email: 'nora.n@example.org', password: 'another long one' }));
const unbanned = must(await admin.updateUserById(made.id, { ban_duration: 'none' })).user;
const client = open(anon);
const { access_token } = must(await client.auth.signInWithPassword({ email: 'nora.n@example.org', password: 'another long one' })).session;
const errors = {
  taken: said(await admin.createUser({ email: 'NORA.N@example.org' })),
  weak: said(await admin.createUser({ email: 'x@example.org', password: 'short' })),
  phone: said(await admin.createUser({ email: 'x@example.org', phone: '123' })),
  missing: said(await admin.getUserById('00000000-0000-7000-8000-00000000ffff')),
  guest: said(await guest.auth.admin.listUsers()),
  person: said(await open(access_token).auth.admin.deleteUser(made.id)),
  factors: said(await client.auth.mfa.enroll({ factorType: 'totp' })),
  reauthenticate: said(await client.auth.reauthenticate()),
};
must(await admin.deleteUser(bare.id));
errors.deleted = said(await admin.getUserById(bare.id));

console.log(
  JSON.stringify({
    made: [made.email, made.email_confirmed_at !== null, made.user_metadata.name, made.app_metadata.role, made.last_sign_in_at],
    bare: [bare.email, bare.email_confirmed_at, bare.user_metadata.name],
    got: got.id === made.id,
    first: [first.users.map((user) => user.id === bare.id), first.nextPage, first.total > 2],
    all: all.users.length === first.total,
    ended,
    changed: [changed.email, changed.email_confirmed_at, changed.user_metadata.name],
    again: again.id === made.id,
    banned: Math.round((Date.parse(banned.banned_until) - Date.now()) / 3600000),
    kept_out,
    unbanned: unbanned.banned_until ?? null,
    errors,
  }),
);
