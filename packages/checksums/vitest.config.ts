import { preset } from '@virtnbd/presets/vitest';

export default preset();
