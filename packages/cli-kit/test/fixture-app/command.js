import { setTimeout as sleep } from 'node:timers/promises';
import { Flags } from '@oclif/core';
import { LocalHost } from '@virtnbd/host';
import { BaseCommand, ExitCode, logfileFlag, quietFlag, UsageError } from '../../dist/index.js';

/** Does what --act says; what it got is printed as JSON. */
export default class Fixture extends BaseCommand {
  static description = 'Back up nothing';
  static examples = ['<%= config.bin %> -d vm1 -l full -o /backup/vm1'];
  static established = ['domain', 'level', 'output', 'compress', 'worker', 'strict', 'password', 'quiet', 'logfile'];
  static bareValues = { compress: '2' };
  static flags = {
    domain: Flags.string({ char: 'd', description: 'the VM', required: true }),
    level: Flags.string({ char: 'l', options: ['copy', 'full', 'inc'], default: 'copy', description: 'what to save' }),
    output: Flags.string({ char: 'o', description: 'the folder' }),
    compress: Flags.integer({ char: 'z', description: 'compress' }),
    worker: Flags.integer({ char: 'w' }),
    strict: Flags.boolean({ char: 'e' }),
    password: Flags.string(),
    quiet: quietFlag,
    logfile: logfileFlag('/dev/null'),
    act: Flags.string({ default: 'print' }),
  };

  async perform(flags, { signal, log, progress, expectSignal }) {
    await log.attachFile(new LocalHost().files, flags.logfile);
    log.debug('a step');
    const acts = {
      print: () => process.stdout.write(`${JSON.stringify(flags)}\n`),
      warn: () => log.warn('careful'),
      error: () => log.error('one disk failed'),
      fail: () => {
        throw Object.assign(new Error('cannot write /x: no space left', { cause: new Error('the cause') }), {
          code: 'NO_SPACE',
        });
      },
      usage: () => {
        throw new UsageError('--raw and --compress exclude each other');
      },
      salvage: () => ExitCode.SALVAGED,
      secret: () => log.info(`opening qemu+ssh://user:${flags.password}@host`),
      big: () => process.stdout.write('x'.repeat(3_000_000)),
      hang: async () => {
        process.stdout.write('ready\n');
        await sleep(600_000, undefined, { signal }).catch(() => log.info('cleaned up'));
        signal.throwIfAborted();
      },
      serve: async () => {
        expectSignal();
        process.stdout.write('ready\n');
        await sleep(600_000, undefined, { signal }).catch(() => undefined);
        signal.throwIfAborted();
      },
      stuck: async () => {
        process.stdout.write('ready\n');
        await sleep(600_000);
      },
      finish: async () => {
        process.stdout.write('ready\n');
        await sleep(600_000, undefined, { signal }).catch(() => undefined);
      },
      crash: async () => {
        setTimeout(() => {
          throw new Error('nobody caught this');
        });
        await sleep(600_000, undefined, { signal }).catch(() => log.info('cleaned up'));
        signal.throwIfAborted();
      },
      leave: () => {
        setInterval(() => undefined, 1000);
      },
      progress: async () => {
        const task = progress.task('vda', 1000);
        const other = progress.task('vdb', 2_000_000_000);
        for (let i = 0; i < 10; i++) {
          task.add(100);
          other.update(i * 200_000_000);
          if (i === 5) log.info('a line\nin between');
          await sleep(60);
        }
        task.finish();
        other.update(2_000_000_000);
        other.finish();
      },
    };
    const returned = await acts[flags.act]();
    return typeof returned === 'number' ? returned : undefined;
  }
}
