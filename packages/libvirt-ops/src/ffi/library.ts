import koffi from 'koffi';
import { NativeFailure } from './native-failure.ts';
import { type Address, type LibvirtFunctions, PROTOTYPES, QEMU_FUNCTIONS } from './signatures.ts';

/** The name that every libvirt since 0.1 has had on Linux. */
export const LIBRARY_FILE = 'libvirt.so.0';
/** What is QEMU's alone lies in a library beside it. */
const QEMU_LIBRARY_FILE = 'libvirt-qemu.so.0';

/**
 * Loads libvirt and binds its functions, each on first use.
 *
 * @throws NativeFailure with code LIBRARY_MISSING when the library cannot be loaded; on the use of a function that the
 *   installed libvirt lacks, with code NO_SUPPORT
 */
export function loadLibvirt(file: string = LIBRARY_FILE): LibvirtFunctions {
  const library = openLibrary(file);
  const functions = {};
  for (const [name, prototype] of Object.entries(PROTOTYPES)) {
    Object.defineProperty(functions, name, {
      configurable: true,
      enumerable: true,
      get() {
        const bound = bind(QEMU_FUNCTIONS.has(name) ? openLibrary(QEMU_LIBRARY_FILE) : library, name, prototype);
        Object.defineProperty(functions, name, { value: bound, enumerable: true });
        return bound;
      },
    });
  }
  return functions as LibvirtFunctions;
}

function openLibrary(file: string): ReturnType<typeof koffi.load> {
  try {
    // RTLD_LAZY: libvirt pulls in GnuTLS, GLib, libxml2 …; resolving all their symbols at once costs time.
    return koffi.load(file, { lazy: true });
  } catch (cause) {
    throw new NativeFailure({
      code: 'LIBRARY_MISSING',
      call: 'dlopen',
      message:
        `Cannot load libvirt's client library (${file}): ${messageOf(cause)}. ` +
        "Install it: package 'libvirt0' on Debian and Ubuntu, 'libvirt-libs' on Fedora and RHEL.",
    });
  }
}

function bind(library: ReturnType<typeof koffi.load>, name: string, prototype: string): unknown {
  try {
    return library.func(prototype);
  } catch (cause) {
    throw new NativeFailure({
      code: 'NO_SUPPORT',
      call: name,
      message: `The installed libvirt is too old: it has no ${name} (${messageOf(cause)}). Version 7.2 or newer is needed.`,
    });
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * The address of a C function that does nothing, whatever it is called with: getpid() takes no arguments and has no
 * effect. libvirt gets it where it wants a callback that we do not need; one written in JavaScript would have to run
 * on the thread that made it, and could deadlock.
 */
export function noOperation(): Address {
  return koffi.load(null).symbol('getpid');
}

/** libvirt prints every error to stderr unless a handler is set. Applies to the whole process. */
export function silence(libvirt: LibvirtFunctions): void {
  libvirt.virSetErrorFunc(null, noOperation());
}
