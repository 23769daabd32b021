#!/usr/bin/env -S node --max-semi-space-size=16
import { runCommand } from '@virtnbd/cli-kit';

await runCommand(import.meta.url);
