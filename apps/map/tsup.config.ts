import { preset } from '@virtnbd/presets/tsup';

// The command is an entry of its own: oclif loads it by its path.
export default preset({ index: 'src/index.ts', command: 'src/command.ts' });
