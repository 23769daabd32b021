/**
 * The layers of the workspace, lowest first. A package imports only from layers below its own; two packages of one
 * layer never import each other. `packages/README.md` says what each of them is for.
 */
export const layers = [
  ['checksums', 'lz4'],
  ['stream-format', 'nbd-protocol', 'qcow2-writer'],
  ['libvirt-ops', 'host', 'nbd-client', 'nbd-server'],
  ['backup-set', 'checkpoint-store', 'hypervisor'],
  ['virtual-disk'],
  ['backup-engine', 'restore-engine', 'recovery-engine', 'inspect-engine'],
  ['cli-kit'],
  ['backup', 'restore', 'map'],
  ['cli'],
];

/**
 * Modules that only some sources may import: what touches the outside world stays behind one seam.
 * `only` holds prefixes of paths below the workspace's root.
 */
export const reserved = [
  { modules: ['node:fs', 'node:fs/promises', 'node:child_process'], only: ['packages/host/src/'] },
  {
    modules: ['node:net', 'node:tls', 'node:dgram', 'node:http', 'node:https'],
    only: ['packages/host/src/', 'packages/nbd-client/src/', 'packages/nbd-server/src/'],
  },
  { modules: ['node:worker_threads'], only: ['packages/libvirt-ops/src/'] },
  {
    modules: ['koffi'],
    only: ['packages/checksums/src/ffi/', 'packages/libvirt-ops/src/ffi/', 'packages/lz4/src/ffi/'],
  },
  { modules: ['@oclif/core', 'cli-progress'], only: ['packages/cli-kit/src/', 'apps/'] },
  { modules: ['node:readline'], only: ['packages/cli-kit/src/', 'apps/'] },
  { modules: ['node:tty'], only: ['packages/cli-kit/src/', 'packages/host/src/standard-output.ts', 'apps/'] },
];
