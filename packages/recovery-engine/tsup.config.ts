import { preset } from '@virtnbd/presets/tsup';

// The watchdogs are programs of their own: they are started by their address, beside index.js.
export default preset(
  {
    index: 'src/index.ts',
    'boot-watchdog': 'src/boot/boot-watchdog.ts',
    'mapping-watchdog': 'src/map/mapping-watchdog.ts',
  },
  ['index'],
);
