import { defineConfig } from 'vite'

// `npm run dev` serves the sources and passes API calls on to a running
// plant, by default the one of `yunchu demo`.
const plant = process.env.YUNCHU_DEV_PLANT ?? 'http://127.0.0.1:8080'

export default defineConfig({
  root: 'src',
  publicDir: 'public',
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // data: URLs would break the content security policy default-src 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Names without hashes: a rebuild changes files and never renames them.
    // The server tells versions apart by ETag.
    rollupOptions: {
      output: {
        entryFileNames: 'assets/portal.js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/portal[extname]',
      },
    },
    license: { fileName: 'licenses.md' },
  },
  server: {
    proxy: { '/api': { target: plant, ws: true } },
  },
})
