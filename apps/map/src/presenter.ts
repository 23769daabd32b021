import { describeError, type Logger, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import type { MapContext, MapEvent } from '@virtnbd/recovery-engine';

/** Shows what the engine tells. Damage is an error: the command then ends with exit code 1. */
export function presenter(log: Logger): (event: MapEvent) => void {
  return (event) => {
    switch (event.type) {
      case 'note':
        return log.info(event.message);
      case 'warning':
        return log.warn(event.message);
      case 'client-opened':
        return log.debug(`client ${event.client.id} (${event.client.peer}) opened ${event.exportName}`);
      case 'client-left':
        return log.debug(
          `client ${event.client.id} left${event.reason === undefined ? '' : `: ${event.reason}`}; ${event.left} are left`,
        );
      case 'client-refused':
        return log.warn(`a client (${event.peer}) was turned away: there are too many`);
      case 'damage':
        return log.error(event.error.message);
      case 'failure':
        return log.error(`${event.exportName}: ${event.command} failed: ${describeError(event.error)}`);
    }
  };
}

/** A bar while whole files are checked, before anything is served. */
export function checkProgress({ progress }: Session): MapContext['onProgress'] {
  let task: ProgressTask | undefined;
  return ({ done, total }) => {
    task ??= progress.task('check', total);
    task.update(done);
    if (done === total) task.finish();
  };
}

/** Every request, with the bytes of its header. */
export function requestLog(log: Logger): MapContext['onRequest'] {
  return ({ connection, exportName, command, flags, offset, length, header }) => {
    const what = `client ${connection.id} ${exportName}: ${command} flags ${flags}, ${length} bytes at ${offset}`;
    log.debug(`${what}\n${hexDump(header)}`);
  };
}

/** `0000  25 60 95 13 …`, 16 bytes a line. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = Buffer.from(bytes.subarray(at, at + 16))
      .toString('hex')
      .replace(/../g, '$& ')
      .trim();
    lines.push(`${at.toString(16).padStart(4, '0')}  ${row}`);
  }
  return lines.join('\n');
}
