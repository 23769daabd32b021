import { EditableXml } from '@virtnbd/libvirt-ops';

/**
 * Command lines that show the VM's console and screen.
 *
 * @param xml of the running VM
 */
export function consoleCommands(xml: string, uri: string, name: string): string[] {
  const devices = EditableXml.parse(xml, 'domain', "The VM's configuration").root.child('devices');
  const terminal = [...(devices?.all('serial') ?? []), ...(devices?.all('console') ?? [])].some(
    (port) => port.attribute('type') === 'pty',
  );
  const commands = terminal ? [`virsh -c ${quoted(uri)} console ${quoted(name)}`] : [];
  for (const graphics of devices?.all('graphics') ?? []) {
    const type = graphics.attribute('type');
    const port = Number(graphics.attribute('port') ?? '-1');
    if (type === undefined || !(port > 0)) continue;
    commands.push(`remote-viewer ${type}://127.0.0.1:${port}`);
  }
  return commands;
}

/** As a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
