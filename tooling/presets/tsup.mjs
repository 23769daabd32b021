/**
 * The tsup options of every published package: ESM only, types beside the code, source maps; what the package
 * declares as a dependency is not bundled.
 *
 * @param {Record<string, string>} [entry] output name → source file
 * @param {string[]} [typed] the entries that get a `.d.ts` (a worker needs none)
 */
export function preset(entry = { index: 'src/index.ts' }, typed = ['index']) {
  return {
    entry,
    format: 'esm',
    target: 'node22',
    platform: 'node',
    dts: { entry: Object.fromEntries(typed.map((name) => [name, entry[name]])) },
    sourcemap: true,
    clean: true,
    splitting: true,
    treeshake: true,
  };
}
