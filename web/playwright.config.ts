import { defineConfig } from '@playwright/test'

// The portal in a real browser, before a real plant: YUNCHU names the program. Each
// file starts a plant of its own.
export default defineConfig({
  testDir: 'e2e',
  outputDir: '.test/e2e',
  workers: 1,
  timeout: 180_000,
  expect: { timeout: 60_000 },
  reporter: 'list',
  use: {
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] },
    locale: 'en-GB',
    viewport: { width: 1280, height: 900 },
  },
})
