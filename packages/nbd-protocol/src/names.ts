import * as constants from './constants.ts';

// proto.md, "Error values": the numbers are the protocol's own, the same on every system.
const ERRNO: ReadonlyMap<number, string> = new Map([
  [1, 'EPERM'],
  [5, 'EIO'],
  [12, 'ENOMEM'],
  [22, 'EINVAL'],
  [28, 'ENOSPC'],
  [75, 'EOVERFLOW'],
  [95, 'ENOTSUP'],
  [108, 'ESHUTDOWN'],
]);

const ERRNO_BY_NAME: ReadonlyMap<string, number> = new Map([...ERRNO].map(([number, name]) => [name, number]));

/** The name of an NBD error value, such as `EIO`; `ERRNO_n` for a number that the protocol does not define. */
export function errnoName(error: number): string {
  return ERRNO.get(error) ?? `ERRNO_${error}`;
}

/** The NBD error value of a name; any other name becomes `EINVAL`, as the specification asks of a server. */
export function errnoNumber(name: string): number {
  return ERRNO_BY_NAME.get(name) ?? 22;
}

const REPLY_NAMES = namesOf('NBD_REP_');
const OPTION_NAMES = namesOf('NBD_OPT_');
const COMMAND_NAMES = namesOf('NBD_CMD_');

/** The specification's name of an option reply type, such as `NBD_REP_ERR_UNKNOWN`; its number where it has none. */
export function optionReplyName(type: number): string {
  return REPLY_NAMES.get(type) ?? `option reply 0x${type.toString(16)}`;
}

/** The specification's name of an option, such as `NBD_OPT_GO`. */
export function optionName(option: number): string {
  return OPTION_NAMES.get(option) ?? `option ${option}`;
}

/** The specification's name of a command, such as `NBD_CMD_READ`. */
export function commandName(command: number): string {
  return COMMAND_NAMES.get(command) ?? `command ${command}`;
}

function namesOf(prefix: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(constants)) {
    const isFlag = name.includes('_FLAG_');
    if (name.startsWith(prefix) && !isFlag && typeof value === 'number') names.set(value, name);
  }
  return names;
}
