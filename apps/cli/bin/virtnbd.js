#!/usr/bin/env -S node --max-semi-space-size=8
import { runCli } from '../dist/index.js';

await runCli(import.meta.url);
