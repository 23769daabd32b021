export { default as BackupCommand } from './command.ts';
