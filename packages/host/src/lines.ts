/** More than any line that programs of ours say to each other. */
const MAX_LINE = 1 << 20;

/**
 * The lines of a stream of UTF-8, without their ends; what follows the last line's end is no line. Ends with the stream,
 * and at a line of more than 1 Mi characters, which is no talk between programs of ours.
 */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const parts = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
    if (rest.length > MAX_LINE) return;
  }
}
