import { preset } from '@virtnbd/presets/tsup';

export default preset();
