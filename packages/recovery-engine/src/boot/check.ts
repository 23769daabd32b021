import { type BootVerdict, type Writer, writeVerdict } from '@virtnbd/backup-set';
import { BootedVm } from './booted-vm.ts';
import type { BootContext, BootEvent, BootRequest } from './request.ts';
import { awaitSignOfLife, type SignOptions } from './sign-of-life.ts';

export interface CheckOptions extends Omit<SignOptions, 'sign' | 'signal'> {
  /** The agent where the VM has one configured, else its screen, unless told. */
  readonly sign?: SignOptions['sign'] | undefined;
  readonly writer: Writer;
  /** Whether the verdict is recorded in the folder; true unless told. */
  readonly record?: boolean | undefined;
}

/**
 * Boots a restore point, waits for a sign of life, ends the VM, and records the verdict beside the point. A failure to start the
 * VM at all is an error and no verdict: it says nothing about the backup.
 *
 * @throws as BootedVm.start; the signal's reason
 */
export async function checkBoot(
  request: BootRequest,
  context: BootContext,
  options: CheckOptions,
): Promise<BootVerdict> {
  let damage: string | undefined;
  const onEvent = (event: BootEvent) => {
    if (event.type === 'damage') damage ??= event.error.message;
    context.onEvent?.(event);
  };
  const since = performance.now();
  const vm = await BootedVm.start(request, { ...context, onEvent });
  let verdict: BootVerdict;
  try {
    const sign = options.sign ?? (vm.description.guestAgent ? 'agent' : 'screen');
    const { timeoutMs, stillMs } = options;
    const seen = await awaitSignOfLife(vm, { sign, timeoutMs, stillMs, signal: context.signal });
    verdict = {
      at: new Date().toISOString(),
      passed: seen.alive && damage === undefined,
      sign,
      seconds: Math.round((performance.now() - since) / 1000),
      message:
        damage === undefined ? seen.message : `${seen.message} But a backup file is damaged: ${damage}`.slice(0, 4000),
      writer: options.writer,
    };
  } finally {
    await vm.close();
  }
  if (options.record !== false) {
    await writeVerdict(context.host, request.set.folder, { point: vm.point.id, boot: verdict });
  }
  return verdict;
}
