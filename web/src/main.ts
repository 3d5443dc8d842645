import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { readLanding } from './lib/landing';
import { reach } from './lib/reach';
import { router } from './lib/router.svelte';
import { session } from './lib/session.svelte';

addEventListener('online', () => reach.hurry());
window.penstock = { hls: null, session };
const landing = readLanding(location.hash, Date.now());
// A session in the address must neither stay in the history nor be copied with it.
if (landing) history.replaceState(null, '', location.pathname + location.search);
router.start();
if (landing) {
  void session.land(landing);
  if (landing.kind === 'refused' && !session.isSignedIn) router.go('/sign-in', 'replace');
  else if (landing.kind === 'session' && landing.type === 'recovery') router.go('/new-password', 'replace');
}

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
