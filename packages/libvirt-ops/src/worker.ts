import { type MessagePort, parentPort } from 'node:worker_threads';
import { type Calls, createCalls } from './calls/index.ts';
import { NativeFailure } from './ffi/native-failure.ts';
import type { Failure, Reply, Request } from './messages.ts';

/**
 * The thread that owns one libvirt connection. It takes one request at a time, makes the call synchronously and reads
 * libvirt's error on the spot: the last error is kept per thread, and asynchronous calls would lose or mix it up.
 */
function serve(port: MessagePort): void {
  let calls: Calls | undefined;
  port.on('message', (request: Request) => {
    let reply: Reply;
    try {
      calls ??= createCalls();
      reply = { id: request.id, value: invoke(calls, request) };
    } catch (error) {
      const failure = failureOf(error, request);
      reply = { id: request.id, failure: calls?.isLost() ? { ...failure, lost: true } : failure };
    }
    port.postMessage(reply);
    // Nothing follows a close: without its port the thread has nothing to wait for and ends.
    if (request.call === 'close') port.close();
  });
}

function invoke(calls: Calls, request: Request): unknown {
  const call = calls[request.call] as (...args: readonly unknown[]) => unknown;
  return call(...request.args);
}

function failureOf(error: unknown, request: Request): Failure {
  if (error instanceof NativeFailure) return error.failure;
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'INVALID_ARG', call: request.call, message: `${request.call}: ${message}` };
}

if (parentPort !== null) serve(parentPort);
