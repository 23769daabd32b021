#!/usr/bin/env -S node --max-semi-space-size=8
import { useCompileCache } from '@virtnbd/host/compile-cache';

useCompileCache(import.meta.url);
const { runCli } = await import('../dist/index.js');
await runCli(import.meta.url);
