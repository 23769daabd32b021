/** Takes secrets out of what is logged. */
export class Redaction {
  #secrets: string[] = [];

  /** Whatever is logged from now on shows *** instead; also where it is escaped in a URI or in JSON. */
  add(secret: string): void {
    if (secret === '') return;
    const forms = [secret, encodeURIComponent(secret), encodeURI(secret), JSON.stringify(secret).slice(1, -1)];
    // The longest first: one form may be a part of another.
    this.#secrets = [...new Set([...this.#secrets, ...forms])].sort((a, b) => b.length - a.length);
  }

  apply(text: string): string {
    return this.#secrets.reduce((result, secret) => result.replaceAll(secret, '***'), text);
  }
}
