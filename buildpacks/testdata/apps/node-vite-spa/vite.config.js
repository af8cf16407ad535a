import { defineConfig } from "vite";

export default defineConfig({
  // outDir: "dist" would be the usual one
  build: { outDir: "www/app" },
});
