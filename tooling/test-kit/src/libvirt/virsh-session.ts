import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { TestKitError } from '../errors.ts';
import { searchPath } from '../programs.ts';

type VirshProcess = ChildProcessByStdio<Writable, Readable, null>;

const PROMPT = 'virsh # ';

/**
 * One virsh that stays: a command costs about 3 ms rather than 25. Its standard error goes to the same pipe as its output, so
 * that both stay in order; between two `echo` lines lies what the command said.
 */
export class VirshSession {
  private readonly uri: string;
  private readonly env: Readonly<Record<string, string>>;
  private child: VirshProcess | null = null;
  private text = '';
  private count = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private wake: (() => void) | null = null;

  constructor(uri: string, env: Readonly<Record<string, string>>) {
    this.uri = uri;
    this.env = env;
  }

  /** Runs the commands one after the other and gives what each printed. All are run, then the first that said `error:` is thrown. */
  run(commands: readonly (readonly string[])[]): Promise<string[]> {
    const result = this.queue.then(() => this.runNow(commands));
    this.queue = result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    await this.queue;
    const child = this.child;
    if (child === null) return;
    this.child = null;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.ref();
    child.stdin.end('quit\n');
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
  }

  private async runNow(commands: readonly (readonly string[])[]): Promise<string[]> {
    const lines = commands.map((command) => command.map(quote).join(' '));
    const child = this.open();
    const first = this.count + 1;
    let input = '';
    for (const line of lines) input += `${line}\necho END ${++this.count}\n`;
    setReferenced(child, true);
    try {
      child.stdin.write(input);
      const outputs: string[] = [];
      // All are read before the first error is told: what stays unread would be taken for the next command's output.
      for (let i = 0; i < lines.length; i++) outputs.push(await this.until(child, `\nEND ${first + i}\n`));
      const failed = outputs.findIndex((output) => /^error: /m.test(output));
      if (failed === -1) return outputs;
      const output = outputs[failed] ?? '';
      throw new TestKitError('PROGRAM_FAILED', `virsh ${lines[failed]}: ${output}`, { output });
    } finally {
      setReferenced(child, false);
    }
  }

  private async until(child: VirshProcess, marker: string): Promise<string> {
    for (;;) {
      const at = this.text.indexOf(marker);
      if (at !== -1) {
        const raw = this.text.slice(0, at);
        this.text = this.text.slice(at + marker.length - 1);
        return raw
          .split('\n')
          .filter((line) => !line.startsWith(PROMPT))
          .join('\n')
          .trim();
      }
      if (this.child !== child) {
        throw new TestKitError('PROGRAM_FAILED', `virsh ended: ${this.text.trim()}`, { output: this.text });
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private open(): VirshProcess {
    if (this.child !== null) return this.child;
    const child: VirshProcess = spawn('/bin/sh', ['-c', 'exec virsh -c "$1" 2>&1', 'sh', this.uri], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // readline repeats what it reads; with few columns it would scroll long lines and print them in pieces.
      env: { ...this.env, PATH: searchPath, TERM: 'dumb', COLUMNS: '32000', LC_ALL: 'C.UTF-8', INPUTRC: '/dev/null' },
      detached: true, // not ended by a Ctrl-C that the test process handles itself
    });
    this.child = child;
    this.text = '\n';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk: string) => {
      this.text += chunk;
      this.wake?.();
    });
    child.stdin.on('error', () => {});
    const gone = (): void => {
      if (this.child === child) this.child = null;
      this.wake?.();
    };
    child.on('error', gone);
    child.on('close', gone);
    setReferenced(child, false);
    return child;
  }
}

/** An idle virsh must not keep the test process alive. */
function setReferenced(child: VirshProcess, referenced: boolean): void {
  for (const part of [child, child.stdin, child.stdout]) {
    const handle = part as { ref?: () => void; unref?: () => void };
    if (referenced) handle.ref?.();
    else handle.unref?.();
  }
}

function quote(argument: string): string {
  if (/[\n\r\t]/.test(argument)) {
    throw new TestKitError('USAGE', `virsh reads a command from one line: ${JSON.stringify(argument)}`);
  }
  return `'${argument.replaceAll("'", "'\\''")}'`;
}
