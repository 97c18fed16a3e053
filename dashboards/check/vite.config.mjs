import { defineConfig } from 'vite';

export default defineConfig({
  // Grafana's pictures lie where its components look for them.
  publicDir: 'node_modules/@grafana/ui/dist/public',
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  // Some of the components' libraries export a default in the way of CommonJS alone.
  legacy: { inconsistentCjsInterop: true },
  build: { target: 'es2022', minify: false, reportCompressedSize: false, chunkSizeWarningLimit: 100_000 },
});
