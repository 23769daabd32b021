/** The URI of an export as libguestfs's programs take it: they know a unix socket by its parameter alone. */
export function guestfsUri(uri: string): string {
  return uri.replace(/^nbd\+unix:/, 'nbd:');
}
