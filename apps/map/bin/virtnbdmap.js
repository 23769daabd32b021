#!/usr/bin/env -S node --max-semi-space-size=16
import { useCompileCache } from '@virtnbd/host/compile-cache';

useCompileCache(import.meta.url);
const { runCommand } = await import('@virtnbd/cli-kit');
await runCommand(import.meta.url);
