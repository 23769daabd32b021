/** Letters shown of one name or message; the rest is cut, and said to be. */
const LONGEST = 2000;

// Controls and line separators could move the cursor or forge lines; bidirectional and invisible format characters
// could make one name look like another; a lone surrogate is no character.
const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}\u200b-\u200d\u2060\ufeff\u{e0000}-\u{e007f}]/gu;

/**
 * Text that comes from a backup, made safe to show: what is invisible, or would change what stands around it, becomes
 * `\u{202e}`. It is not HTML: escape it on top of this.
 */
export function visibleText(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return cut.replace(HIDDEN, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
