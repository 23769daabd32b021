// node run-and-die.ts STEP LEVEL DOMAIN FOLDER URI [REQUEST]: a backup that kills itself, as by a power cut, when it reaches
// STEP, or tells the first event of the type STEP or with STEP as its message. REQUEST: more of the request, as JSON.
import { type BackupLevel, runBackup } from '@virtnbd/backup-engine';
import { LocalHost } from '@virtnbd/host';
import { Hypervisor } from '@virtnbd/hypervisor';

const [step, level, domain = '', folder = '', uri = '', more = '{}'] = process.argv.slice(2);

await using there = await Hypervisor.open({ uri });
await runBackup(
  { domain, level: level as BackupLevel, folder, ...JSON.parse(more) },
  {
    host: new LocalHost(),
    hypervisor: there.host,
    connect: () => there.connect(),
    writer: { name: 'run-and-die', version: '0.0.0' },
    onEvent: (event) => {
      const told = event.type === 'step' ? event.step : event.type === 'info' ? event.message : '';
      if (event.type === step || told === step) process.kill(process.pid, 'SIGKILL');
    },
  },
);
