import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { router } from './lib/router.svelte';
import { session } from './lib/session.svelte';

window.penstock = { hls: null, session };
router.start();

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
