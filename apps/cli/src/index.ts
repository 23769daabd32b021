export { COMMANDS } from './commands.ts';
export { runCli } from './run.ts';
