import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, relative } from 'node:path';
import ts from 'typescript';

/**
 * Finds every import that breaks the layering: of a package in the same or a higher layer, of another package's
 * inside, of a module reserved to others, or of something that package.json does not declare.
 *
 * @param {string} root the workspace's root
 * @param {{ layers: string[][], reserved: { modules: string[], only: string[] }[] }} rules
 * @returns {string[]} one sentence a violation; empty when all is well
 */
export function checkLayers(root, rules) {
  return ['packages', 'apps'].flatMap((group) =>
    folders(join(root, group)).flatMap((name) => checkPackage(root, `${group}/${name}`, rules)),
  );
}

function checkPackage(root, place, rules) {
  const manifest = JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8'));
  const own = manifest.name.replace('@virtnbd/', '');
  const layer = layerOf(own, rules.layers);
  if (layer < 0) return [`${place}: ${manifest.name} has no layer; add it to tooling/lint/src/layers.mjs`];
  const declared = new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }));
  const context = { ...rules, own, layer, declared };
  return sources(join(root, place, 'src')).flatMap((file) => {
    const where = relative(root, file);
    return ts
      .preProcessFile(readFileSync(file, 'utf8'), true, true)
      .importedFiles.map(({ fileName }) => fault(fileName, where, context))
      .filter((sentence) => sentence !== null);
  });
}

function fault(specifier, where, { layers, reserved, own, layer, declared }) {
  if (specifier.startsWith('.')) return null;
  const rule = reserved.find(({ modules }) => modules.includes(specifier));
  if (rule && !rule.only.some((prefix) => where.startsWith(prefix)))
    return `${where} imports ${specifier}, which is reserved to ${rule.only.join(', ')}`;
  if (isBuiltin(specifier)) return null;
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (!declared.has(name)) return `${where} imports ${specifier}, which its package.json does not declare`;
  if (!name.startsWith('@virtnbd/')) return null;
  if (specifier !== name) return `${where} imports ${specifier}: another package's inside`;
  const other = layerOf(name.replace('@virtnbd/', ''), layers);
  if (other < 0) return `${where} imports ${specifier}, which is not a published package`;
  if (other >= layer) return `${where}: ${own} must not import ${specifier}, which is not in a layer below it`;
  return null;
}

function layerOf(name, layers) {
  return layers.findIndex((names) => names.includes(name));
}

function folders(path) {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(path, entry.name, 'package.json')))
    .map((entry) => entry.name);
}

function sources(path) {
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true })
    .filter((name) => /\.[cm]?ts$/.test(name))
    .map((name) => join(path, name));
}
