import type { ArgumentOption, ArgumentSpec } from '../src/index.ts';

/** `d:domain` takes a value, `r/raw` is a flag, `z?compress` takes one or none; without a letter: `:uri`. */
function options(text: string, established = true): ArgumentOption[] {
  return text.split(/\s+/).map((word) => {
    const [, short, sign, long = ''] = /^(\w?)([:/?])([\w-]+)$/.exec(word) ?? [];
    const kind = sign === ':' ? 'value' : sign === '?' ? 'optionalValue' : 'flag';
    return { long, short: short === '' ? undefined : short, kind, bare: sign === '?' ? '2' : undefined, established };
  });
}

const remote = ':user :ssh-user :ssh-port :ssh-private-key :password U:uri P:nbd-port I:nbd-ip /tls :tls-cert';

export const virtnbdbackup: ArgumentSpec = options(
  `d:domain l:level t:type r/raw o:output C:checkpointdir :scratchdir S/start-domain /pause i:include x:exclude
   f:socketfile n/noprogress z?compress w:worker F:freeze-mountpoint e/strict /no-sparse-detection T:threshold ${remote}
   L/syslog /quiet /nocolor q/qemu s/startonly k/killonly p/printonly v/verbose V/version h/help`,
);

export const virtnbdrestore: ArgumentSpec = options(
  `a:action i:input o:output u:until s:sequence d:disk n/noprogress f:socketfile r/raw c/adjust-config D/define
   C:config-file N:name B:buffsize A/preallocate /compress ${remote} L:logfile /nocolor v/verbose V/version h/help`,
);

export const virtnbdmap: ArgumentSpec = options(
  `f:file b:blocksize d:device e:export-name t:threads l:listen-address p:listen-port n/noprogress L:logfile /nocolor
   r/readonly H/hexdump v/verbose V/version h/help`,
);

export const commands = { virtnbdbackup, virtnbdrestore, virtnbdmap } as const;

/** Options of ours beside the established ones. */
export const withOurs: ArgumentSpec = [
  ...virtnbdbackup,
  ...options(':verify-mode /allow-plaintext :chunk-size', false),
];
