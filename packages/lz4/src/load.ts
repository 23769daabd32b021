import type { Lz4Engine, Lz4EngineName } from './engine.ts';
import { Lz4Error } from './errors.ts';

const loaded = new Map<Lz4EngineName | 'best', Promise<Lz4Engine>>();

/**
 * The engine of this machine, loaded at the first call: liblz4, or lz4-napi where it or koffi cannot be loaded.
 *
 * @param options.engine that one and no other
 * @throws Lz4Error LIBRARY_MISSING
 */
export function loadLz4(options: { engine?: Lz4EngineName } = {}): Promise<Lz4Engine> {
  const key = options.engine ?? 'best';
  const known = loaded.get(key);
  if (known !== undefined) return known;
  const loading = load(options.engine);
  loaded.set(key, loading);
  loading.catch(() => loaded.delete(key)); // the library may be installed meanwhile
  return loading;
}

async function load(engine: Lz4EngineName | undefined): Promise<Lz4Engine> {
  const causes: unknown[] = [];
  if (engine !== 'lz4-napi') {
    try {
      const { loadLiblz4 } = await import('./ffi/liblz4.ts');
      return loadLiblz4();
    } catch (cause) {
      causes.push(cause);
    }
  }
  if (engine !== 'liblz4') {
    try {
      const { loadLz4Napi } = await import('./lz4-napi.ts');
      return await loadLz4Napi();
    } catch (cause) {
      causes.push(cause);
    }
  }
  throw new Lz4Error('LIBRARY_MISSING', 'LZ4 cannot be loaded: install liblz4 (Debian: liblz4-1)', {
    cause: new AggregateError(causes),
  });
}
