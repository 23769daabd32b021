export { default as MapCommand } from './command.ts';
