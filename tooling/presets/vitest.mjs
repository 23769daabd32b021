/**
 * The vitest options of every package: `test/**` beside `src`, a JSON report that the set-up script adds up, and time
 * enough for tests that start real servers.
 *
 * @param {object} [test] options that a package overrides
 */
export function preset(test = {}) {
  return {
    test: {
      include: ['test/**/*.test.ts'],
      testTimeout: 60_000,
      hookTimeout: 120_000,
      maxWorkers: 2,
      reporters: ['default', ['json', { outputFile: 'test-report.json' }]],
      ...test,
    },
  };
}
