/** Where a server listens. */
export type ServerAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** The NBD URI of an export (doc/uri.md of the NBD project), as qemu, nbdcopy and the like take it. */
export function exportUri(address: ServerAddress, exportName: string, tls: boolean): string {
  const name = encode(exportName);
  const scheme = tls ? 'nbds' : 'nbd';
  if ('path' in address) return `${scheme}+unix:///${name}?socket=${encode(address.path)}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${scheme}://${host}:${address.port}/${name}`;
}

/** Slashes stay: they mean nothing there, and are easier to read. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll('%2F', '/');
}
