import { type Html, html } from './html.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

function scaled(bytes: number): { value: number; unit: string } {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return { value, unit: UNITS[unit] ?? 'B' };
}

/** `1.5 GiB` */
export function formatBytes(bytes: number): string {
  const { value, unit } = scaled(bytes);
  const whole = value >= 100 || Number.isInteger(value);
  return `${whole ? Math.floor(value) : value.toFixed(1)}\u00a0${unit}`;
}

/** `4.102 GiB`: exact enough to tell neighbours apart. */
export function formatPosition(bytes: number): string {
  const { value, unit } = scaled(bytes);
  return `${Number(value.toFixed(3))}\u00a0${unit}`;
}

export function formatRatio(ratio: number | null): string {
  return ratio === null ? '–' : `${ratio >= 100 ? Math.round(ratio) : ratio.toFixed(ratio >= 10 ? 1 : 2)} : 1`;
}

/** `2026-11-23 20:00`, as far as it is a date. */
export function formatDate(date: string | null): string {
  if (date === null) return 'no date';
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(date);
  // The page may be read anywhere: a time says its zone where it is known.
  return match === null ? date.slice(0, 32) : `${match[1]} ${match[2]}${date.endsWith('Z') ? ' UTC' : ''}`;
}

export function plural(count: number, noun: string): string {
  return `${count}\u00a0${noun}${count === 1 ? '' : 's'}`;
}

/** A figure of the description with the way to it, so that the page can be compared with the JSON. */
export function figure(path: string, value: number | null, format: (value: number) => string = String): Html {
  return html`<span data-figure="${path}" data-value="${value ?? 'null'}">${value === null ? '–' : format(value)}</span>`;
}
