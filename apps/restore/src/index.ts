export { default as RestoreCommand } from './command.ts';
