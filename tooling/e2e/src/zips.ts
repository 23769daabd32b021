import { run } from '@virtnbd/test-kit';

const SCRIPT = `import os, sys, zipfile
folder, zip, mark, wanted = sys.argv[1:]
with zipfile.ZipFile(zip, 'w', zipfile.ZIP_STORED) as out:
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if (mark in name) == (wanted == 'with'): out.write(path, os.path.relpath(path, folder))`;

/** Two zips that hold a backup folder together: what has `mark` in its name lies in the second. As `-i` takes them. */
export async function zipInTwo(folder: string, mark: string): Promise<string> {
  const zips = [`${folder}-1.zip`, `${folder}-2.zip`] as const;
  await run('python3', ['-c', SCRIPT, folder, zips[0], mark, 'without']);
  await run('python3', ['-c', SCRIPT, folder, zips[1], mark, 'with']);
  return zips.join(',');
}
