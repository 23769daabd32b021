#!/usr/bin/env -S node --max-semi-space-size=8
import { runCommand } from '@virtnbd/cli-kit';

await runCommand(import.meta.url);
