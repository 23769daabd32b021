#!/usr/bin/env node
import { runCommand } from '../../../dist/index.js';

await runCommand(import.meta.url);
