/** Adds up what each package's tests reported (`test-report.json`, vitest's JSON) and prints the sum. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, say } from './steps.mjs';

/**
 * @param {{ maySkip: boolean }} options whether a skipped test is fine (on a visitor's machine) or a failure (in CI)
 * @returns {boolean} whether all is well
 */
export function report({ maySkip }) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  let silent = 0;
  for (const place of testedPackages()) {
    const file = join(root, place, 'test-report.json');
    if (!existsSync(file)) {
      say(`${place}: no report, its tests did not run to the end`);
      silent += 1;
      continue;
    }
    const results = JSON.parse(readFileSync(file, 'utf8')).testResults;
    for (const { assertionResults, status, name, message } of results) {
      if (status === 'failed' && assertionResults.length === 0) {
        sum.failed += 1;
        say(`failed: ${name}: ${message}`);
      }
      for (const test of assertionResults) {
        const kind = test.status === 'passed' || test.status === 'failed' ? test.status : 'skipped';
        sum[kind] += 1;
        if (kind !== 'passed') say(`${kind}: ${place}: ${test.fullName}`);
      }
    }
  }
  process.stdout.write(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
  return sum.failed === 0 && silent === 0 && sum.passed > 0 && (maySkip || sum.skipped === 0);
}

function testedPackages() {
  return ['packages', 'apps', 'tooling'].flatMap((group) =>
    readdirSync(join(root, group))
      .map((name) => `${group}/${name}`)
      .filter((place) => {
        const manifest = join(root, place, 'package.json');
        return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).scripts?.test;
      }),
  );
}
