import { readIntents } from '@virtnbd/backup-set';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupContext, BackupLevel, BackupRequest } from '../context.ts';
import type { BackupListener } from '../events.ts';
import { type DiskEstimate, totalBytes } from './estimate.ts';
import type { DomainState, RunPlan } from './plan.ts';
import { prepare } from './prepare.ts';

/** What a backup would do. Sizes are in bytes. */
export interface BackupForecast {
  readonly domain: { readonly name: string; readonly uuid: string };
  readonly state: DomainState;
  readonly level: BackupLevel;
  readonly folder: string;
  /** Id of the restore point that it would make. */
  readonly point: string;
  /** The point that it would follow; null for a whole backup. */
  readonly parent: string | null;
  /** The checkpoint that it would create; null for copy and diff. */
  readonly checkpoint: string | null;
  /** Checkpoints of an older chain that it would remove. */
  readonly removes: readonly string[];
  readonly disks: readonly (DiskEstimate & { readonly file: string; readonly whole: boolean })[];
  /** Files of the VM that it would save beside the disks. */
  readonly bootFiles: readonly string[];
  /** Bytes of all disks together. */
  readonly estimate: number;
}

/**
 * Finds out what a backup would do, with every check that it would make first, and changes nothing: neither on the VM's
 * side nor in the folder, which need not be there.
 *
 * @throws what `runBackup` would throw before it changes anything
 */
export async function forecastBackup(request: BackupRequest, context: BackupContext): Promise<BackupForecast> {
  await using libvirt = await context.connect();
  const plan = await lookAhead(libvirt, request, context);
  return {
    domain: plan.domain,
    state: plan.state,
    level: plan.level,
    folder: request.folder,
    point: plan.point,
    parent: plan.parent,
    checkpoint: plan.checkpoint,
    removes: plan.level === 'full' ? plan.superseded : [],
    disks: plan.estimates.map((estimate, index) => ({
      ...estimate,
      file: plan.disks[index]?.file ?? '',
      whole: plan.disks[index]?.since === null,
    })),
    bootFiles: plan.beside.bootFiles.map(({ path }) => path),
    estimate: totalBytes(plan.estimates),
  };
}

/** The plan of a run that has not locked anything: it may be out of date at once. */
export async function lookAhead(
  libvirt: LibvirtConnection,
  request: BackupRequest,
  context: BackupContext,
): Promise<RunPlan> {
  const { host, onEvent } = context;
  const tell: BackupListener = (event) => onEvent?.(event);
  const signal = context.signal ?? new AbortController().signal;
  const { uuid, name, state, active } = await libvirt.lookup(request.domain);
  const found = active ? (state === 'running' ? 'running' : 'paused') : 'off';
  const there = (await host.files.stat(request.folder)) !== null;
  const pending = there ? await readIntents(host, request.folder) : [];
  for (const { point, started } of pending)
    tell({
      type: 'warning',
      message: `a run that was to make ${point}, begun ${started}, has not ended; a backup would first put that right`,
    });
  const uncommitted = pending.flatMap(({ checkpoint }) => checkpoint ?? []);
  const situation = { domain: { name, uuid }, state: found, uncommitted } as const;
  return await prepare(context, libvirt, situation, request, { lookOnly: true, tell, signal });
}
