import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { dumpHeaders } from '@virtnbd/restore-engine';
import { printText } from './print-json.ts';

/** Prints the headers of all data files, as a JSON array laid out as the established command does. */
export async function dump(
  { input, disk }: { readonly input: string; readonly disk: string | undefined },
  { log, signal }: Session,
): Promise<ExitCode> {
  await using source = await openBackupSource(new LocalHost(), input, process.cwd());
  const headers = await dumpHeaders(source.host, source.folder, {
    signal,
    ...(disk !== undefined && { disk }),
    onUnreadable: (message) => log.error(message),
  });
  await printText(`${JSON.stringify(headers, null, 4)}\n`);
  return ExitCode.DONE;
}
