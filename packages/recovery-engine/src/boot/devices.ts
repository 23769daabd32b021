import type { EditableElement } from '@virtnbd/libvirt-ops';

/**
 * Devices that reach out of the VM: to the network, to files and devices of the host, to other VMs. A VM that is booted from a
 * backup stands beside the one that was saved, so it must share nothing with it.
 */
interface Rule {
  /** Whether the device reaches out; always, when absent. */
  readonly when?: (device: EditableElement) => boolean;
  readonly what: string;
}

const typeOf = (device: EditableElement): string => device.attribute('type') ?? '';
const modeOf = (device: EditableElement): string => device.attribute('mode') ?? '';
const modelOf = (device: EditableElement): string => device.attribute('model') ?? '';
const backendOf = (device: EditableElement): string => device.child('backend')?.attribute('type') ?? '';
const backendModelOf = (device: EditableElement): string => device.child('backend')?.attribute('model') ?? '';

const REACHING_OUT: Readonly<Record<string, Rule>> = {
  hostdev: { what: 'a device of the host' },
  filesystem: { what: 'a folder of the host' },
  lease: { what: 'a lock of the host' },
  shmem: { what: 'memory that is shared with other VMs' },
  vsock: { what: 'a socket to the host' },
  parallel: { what: 'a parallel port' },
  memory: { when: (device) => /^(nvdimm|virtio-pmem)$/.test(modelOf(device)), what: 'memory that is kept on the host' },
  input: { when: (device) => /^(passthrough|evdev)$/.test(typeOf(device)), what: 'an input device of the host' },
  smartcard: {
    when: (device) => modeOf(device) !== 'passthrough' || typeOf(device) !== 'spicevmc',
    what: 'a smart card',
  },
  redirdev: { when: (device) => typeOf(device) !== 'spicevmc', what: 'a redirected USB device' },
  tpm: { when: (device) => backendOf(device) !== 'emulator', what: "the host's TPM" },
  rng: {
    when: (device) => backendModelOf(device) !== 'random' && backendModelOf(device) !== 'builtin',
    what: 'a source of random numbers',
  },
  channel: {
    when: (device) => !/^(unix|pty|spicevmc|spiceport|qemu-vdagent|null)$/.test(typeOf(device)),
    what: 'a channel',
  },
  graphics: { when: (device) => !/^(vnc|spice|egl-headless)$/.test(typeOf(device)), what: 'a display' },
};

/** Takes away what reaches out, and turns ports that write to the host into consoles. Returns what was changed, a sentence each. */
export function isolateDevices(devices: EditableElement): string[] {
  const changes: string[] = [];
  for (const device of devices.children) {
    const rule = Object.hasOwn(REACHING_OUT, device.name) ? REACHING_OUT[device.name] : undefined;
    if (rule !== undefined && (rule.when?.(device) ?? true)) {
      device.remove();
      changes.push(`without ${rule.what} (<${device.name}>)`);
    } else changes.push(...changed(device));
  }
  return changes;
}

function changed(device: EditableElement): string[] {
  switch (device.name) {
    case 'serial':
    case 'console':
      return toTerminal(device);
    case 'channel':
      // libvirt finds a place of its own; the saved one belongs to the saved VM.
      device.child('source')?.remove();
      device.child('log')?.remove();
      return [];
    case 'graphics':
      return toLoopback(device);
    case 'audio':
      device.setAttribute('type', 'none');
      for (const child of device.children) child.remove();
      return [];
    default:
      return [];
  }
}

/** A log file or a socket of the saved VM must not be written by this one; a terminal also serves `virsh console`. */
function toTerminal(port: EditableElement): string[] {
  const before = typeOf(port);
  for (const name of ['source', 'protocol', 'log']) port.child(name)?.remove();
  port.removeAttribute('tty');
  port.setAttribute('type', 'pty');
  return before === 'pty' ? [] : [`<${port.name}> is a console rather than a ${before}`];
}

function toLoopback(graphics: EditableElement): string[] {
  for (const name of ['port', 'tlsPort', 'websocket', 'socket', 'passwd', 'connected']) graphics.removeAttribute(name);
  for (const listen of graphics.all('listen')) listen.remove();
  graphics.child('gl')?.remove();
  if (typeOf(graphics) === 'egl-headless') return [];
  graphics.setAttribute('autoport', 'yes');
  graphics.setAttribute('listen', '127.0.0.1');
  return [];
}
