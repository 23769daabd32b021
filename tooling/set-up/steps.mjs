/**
 * The set-up steps that the demo and the tests share. They run on the node that the machine has (18 or newer);
 * everything after them runs on the node that the workspace installs for itself.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missing } from './debian-packages.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

export function say(line) {
  process.stdout.write(`── ${line}\n`);
}

export function fail(message) {
  process.stderr.write(`\n${message}\n`);
  process.exit(1);
}

/**
 * Runs a program with the workspace's own programs first on the PATH; ends the set-up when it fails, and the program when it
 * has not ended after `minutes`.
 */
export function run(program, args, { env = {}, quiet = false, allowFailure = false, minutes } = {}) {
  const result = spawnSync(program, args, {
    cwd: root,
    env: {
      ...process.env,
      PATH: [join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter),
      TURBO_TELEMETRY_DISABLED: '1',
      DO_NOT_TRACK: '1',
      ...env,
    },
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    maxBuffer: 1 << 26,
    ...(minutes !== undefined && { timeout: minutes * 60_000 }),
  });
  if (result.error?.code === 'ETIMEDOUT') say(`not done within ${minutes} minutes, and ended`);
  else if (result.error) fail(`${program} could not be started: ${result.error.message}`);
  if (result.status !== 0 && !allowFailure) {
    if (quiet) process.stderr.write(`${result.stdout}${result.stderr}`);
    fail(`«${program} ${args.join(' ')}» failed with exit code ${result.status ?? result.signal}.`);
  }
  return result.status ?? 1;
}

/** Installs the Debian packages of `needs` that are missing: as root by apt-get, otherwise by telling the user. */
export function systemPackages(needs, { optional = false } = {}) {
  const names = [...new Set(missing(needs).map(({ debian }) => debian))];
  if (names.length === 0) return;
  const command = `apt-get install --no-install-recommends ${names.join(' ')}`;
  const isDebian = existsSync('/usr/bin/apt-get');
  if (optional) {
    say(`not here: ${names.join(', ')}. The tests that run against them are skipped; to run them too: ${command}`);
    return;
  }
  if (!isDebian || process.getuid() !== 0)
    fail(
      `These Debian packages are missing; install them (or what your distribution calls them), then try again:\n\n  sudo ${command}`,
    );
  say(`installing Debian packages: ${names.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], { env, quiet: true, allowFailure: true });
  run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...names], { env, quiet: true });
}

/** JavaScript packages, a current node among them, by the pnpm that package.json names. */
export function javascriptPackages() {
  if (process.platform !== 'linux') fail('virtnbd runs on Linux: it needs libvirt and QEMU.');
  say(`installing JavaScript packages (${packageManager})`);
  pnpm(['install', '--frozen-lockfile', '--prefer-offline'], { quiet: true });
  say(`building on node ${nodeVersion()}`);
}

/** Runs the pnpm that package.json names; npx fetches it, and puts it on the PATH of what it starts (turbo wants it). */
export function pnpm(args, options) {
  return run('npx', ['--yes', packageManager, ...args], options);
}

export function build() {
  turbo(['build'], ['--output-logs=errors-only'], { quiet: true });
}

/** Runs turbo tasks, two at a time; returns turbo's exit code when `allowFailure` is set. */
export function turbo(tasks, options = [], how) {
  return pnpm(['exec', 'turbo', 'run', ...tasks, '--concurrency=2', '--no-update-notifier', ...options], how);
}

function nodeVersion() {
  const result = spawnSync(join(root, 'node_modules/.bin/node'), ['--version'], { encoding: 'utf8' });
  const version = result.status === 0 ? result.stdout.trim() : process.version;
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
  const current = (major === 22 && minor >= 18) || (major === 24 && minor >= 11) || major >= 26;
  if (!current)
    fail(`Node ${version} is too old, and none comes from the registry for this kind of machine: install node 24.`);
  return version;
}
