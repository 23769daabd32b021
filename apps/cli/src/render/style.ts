import type { PointState, Verdict } from '@virtnbd/inspect-engine';

const codes = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
} as const;

export type Colour = keyof typeof codes;

/** Colours text, or leaves it alone where there are no colours. */
export type Paint = (text: string, colour: Colour) => string;

export function painter(colour: boolean): Paint {
  return colour ? (text, name) => (text === '' ? '' : `\u001b[${codes[name]}m${text}\u001b[0m`) : (text) => text;
}

export const stateColours: Readonly<Record<PointState, Colour>> = {
  complete: 'green',
  partial: 'yellow',
  damaged: 'red',
  foreign: 'magenta',
  orphan: 'yellow',
};

export const verdictColours: Readonly<Record<Verdict, Colour>> = {
  ok: 'green',
  'not-verifiable': 'yellow',
  damaged: 'red',
};

/** `2.4:1`; a dash without data. */
export function formatRatio(ratio: number | null): string {
  return ratio === null ? '–' : `${ratio >= 100 ? Math.round(ratio) : ratio.toFixed(ratio >= 10 ? 1 : 2)}:1`;
}

/** `1 point`, `3 points` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
