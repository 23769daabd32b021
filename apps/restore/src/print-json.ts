/** Prints a value on standard output, as JSON; resolves when it is written. */
export async function printJson(value: unknown): Promise<void> {
  await printText(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints text on standard output; resolves when it is written, or when nobody reads it any more. */
export async function printText(text: string): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
}
