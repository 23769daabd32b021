/** What libguestfs wrote before it ended, in one line, and what helps where that is known. */
export function libguestfsFailure(stderr: string): string {
  const said = stderr
    .split('\n')
    .map((line) => line.replace(/^(\*stdin\*:\d+: )?libguestfs: error: /, '').trim())
    .filter((line) => line !== '');
  const text = said.join('; ').slice(0, 2000) || 'it said nothing';
  // It makes its small VM of this machine's kernel, which some distributions let only root read.
  const kernel =
    'Is there a kernel in /boot or /lib/modules that you may read? If only root may: sudo chmod +r /boot/vmlinuz-*; ' +
    'where there is none, in a container for instance: SUPERMIN_KERNEL=FILE. More: LIBGUESTFS_DEBUG=1';
  return /supermin exited with error/.test(text) ? `the small VM of libguestfs cannot be made. ${kernel}` : text;
}
