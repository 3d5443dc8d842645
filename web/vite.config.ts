import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Where the edge listens while developing; the built pages always talk to their own origin.
const edge = process.env['PENSTOCK_EDGE'] ?? 'http://127.0.0.1:8080';
const forwarded = ['/auth', '/rest', '/storage', '/play', '/hls', '/progress', '/me', '/config.json'];

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // hls.js is one library of about 600 kB, loaded only by the player.
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: Object.fromEntries(forwarded.map((path) => [path, { target: edge, changeOrigin: false }])),
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
});
