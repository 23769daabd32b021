#!/usr/bin/env node
import { runCommand } from '@virtnbd/cli-kit';

await runCommand(import.meta.url);
