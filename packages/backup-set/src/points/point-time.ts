/** A day, minute, second or fraction of one, in ISO 8601; without a zone it is local time. */
const TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)? ?([Zz]|[+-]\d\d(?::?\d\d)?)?$/;

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** What a clock is put back by when summer time ends: an hour, on Lord Howe Island half of one. */
const PUT_BACK = [60 * MINUTE, 30 * MINUTE];

/**
 * The moments at which the day, minute or second that a text names is over, in milliseconds since 1970, exclusive. Two
 * for a local time that a clock which was put back showed twice; none when the text is no date, or one that no calendar
 * or clock shows (30 February, an hour that was left out).
 */
export function endsOfTime(text: string): number[] {
  const match = TIME.exec(text.trim());
  if (match === null) return [];
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  const date = [Number(year), Number(month) - 1, Number(day)] as const;
  const clock = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)] as const;
  const wanted = Date.UTC(...date, ...clock);
  const shown = new Date(wanted);
  const real =
    shown.getUTCMonth() === date[1] &&
    shown.getUTCDate() === date[2] &&
    clock[0] < 24 &&
    clock[1] < 60 &&
    clock[2] < 60;
  if (!real || date[0] < 1970) return [];
  const thousandths = fraction === undefined ? 0 : Number(fraction.padEnd(3, '0').slice(0, 3));
  const length = hour === undefined ? DAY : second === undefined ? MINUTE : fraction === undefined ? 1000 : 1;
  if (zone !== undefined) return [wanted - zoneOffset(zone) + thousandths + length];
  // A day is over at the next local midnight, however many hours it has.
  if (hour === undefined) return [new Date(date[0], date[1], date[2] + 1).getTime()];
  return localMoments(wanted).map((moment) => moment + thousandths + length);
}

/** The moments at which the local clock shows what a clock in UTC shows at `wanted`. */
function localMoments(wanted: number): number[] {
  const guess = wanted + new Date(wanted).getTimezoneOffset() * MINUTE;
  const moments = new Set<number>();
  for (const start of [guess, wanted + new Date(guess).getTimezoneOffset() * MINUTE]) {
    for (const shift of [0, ...PUT_BACK, ...PUT_BACK.map((time) => -time)]) {
      const moment = start + shift;
      if (moment - new Date(moment).getTimezoneOffset() * MINUTE === wanted) moments.add(moment);
    }
  }
  return [...moments].sort((a, b) => a - b);
}

/** Milliseconds that a zone's clock is ahead of UTC. */
function zoneOffset(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0;
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return (zone.startsWith('-') ? -minutes : minutes) * MINUTE;
}
