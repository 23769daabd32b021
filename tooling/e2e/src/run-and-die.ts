// node run-and-die.ts STEP LEVEL DOMAIN FOLDER URI: a backup that kills itself, as by a power cut, when it reaches STEP, or
// tells the first event of the type STEP.
import { type BackupLevel, runBackup } from '@virtnbd/backup-engine';
import { LocalHost } from '@virtnbd/host';
import { LibvirtConnection } from '@virtnbd/libvirt-ops';

const [step, level, domain = '', folder = '', uri = ''] = process.argv.slice(2);

await runBackup(
  { domain, level: level as BackupLevel, folder },
  {
    host: new LocalHost(),
    hypervisor: new LocalHost(),
    connect: () => LibvirtConnection.open(uri),
    writer: { name: 'run-and-die', version: '0.0.0' },
    onEvent: (event) => {
      if (event.type === step || (event.type === 'step' && event.step === step)) process.kill(process.pid, 'SIGKILL');
    },
  },
);
