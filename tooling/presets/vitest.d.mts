import type { ViteUserConfig } from 'vitest/config';
export declare function preset(test?: ViteUserConfig['test']): ViteUserConfig;
