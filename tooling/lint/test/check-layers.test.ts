import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkLayers } from '../src/check.mjs';

const rules = {
  layers: [['low'], ['middle', 'beside'], ['high']],
  reserved: [{ modules: ['node:fs'], only: ['packages/low/src/'] }],
};
let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'virtnbd-layers-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function addPackage(name: string, source: string, dependencies: string[] = []): void {
  const folder = join(root, 'packages', name);
  mkdirSync(join(folder, 'src'), { recursive: true });
  const declared = Object.fromEntries(dependencies.map((dependency) => [dependency, '*']));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: `@virtnbd/${name}`, dependencies: declared }));
  writeFileSync(join(folder, 'src/index.ts'), source);
}

test('an import from a lower layer passes', () => {
  addPackage('low', "import { openSync } from 'node:fs';");
  addPackage('high', "import { a } from '@virtnbd/low';", ['@virtnbd/low']);
  expect(checkLayers(root, rules)).toEqual([]);
});

test('an import from a higher layer is a fault', () => {
  addPackage('low', "export { a } from '@virtnbd/high';", ['@virtnbd/high']);
  expect(checkLayers(root, rules)).toEqual([
    'packages/low/src/index.ts: low must not import @virtnbd/high, which is not in a layer below it',
  ]);
});

test('an import from the same layer is a fault, also a dynamic one', () => {
  addPackage('middle', "const b = await import('@virtnbd/beside');", ['@virtnbd/beside']);
  expect(checkLayers(root, rules)).toHaveLength(1);
});

test("an import of another package's inside is a fault", () => {
  addPackage('high', "import { a } from '@virtnbd/low/src/a.ts';", ['@virtnbd/low']);
  expect(checkLayers(root, rules)[0]).toContain("another package's inside");
});

test('a reserved module is a fault outside its place', () => {
  addPackage('middle', "import { readFileSync } from 'node:fs';");
  expect(checkLayers(root, rules)[0]).toContain('reserved to packages/low/src/');
});

test('an import that package.json does not declare is a fault', () => {
  addPackage('middle', "import koffi from 'koffi';");
  expect(checkLayers(root, rules)[0]).toContain('does not declare');
});

test('a package without a layer is a fault', () => {
  addPackage('stray', '');
  expect(checkLayers(root, rules)[0]).toContain('has no layer');
});
