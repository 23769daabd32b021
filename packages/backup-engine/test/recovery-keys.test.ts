import { expect, test } from 'vitest';
import { volumesOf } from '../src/guest/recovery-keys.ts';

const STATUS = `BitLocker Drive Encryption: Configuration Tool version 10.0.20348\r
Copyright (C) 2013 Microsoft Corporation. All rights reserved.\r
\r
Disk volumes that can be protected with\r
BitLocker Drive Encryption:\r
Volume C: [System]\r
[OS Volume]\r
\r
    Size:                 63.35 GB\r
    Conversion Status:    Used Space Only Encrypted\r
\r
Volume D: []\r
[Data Volume]\r
Volume C:\\mnt\\data [Data]\r
`;

test('volumes are found by drive letter and by mount point', () => {
  expect(volumesOf(STATUS)).toEqual(['C:', 'D:', String.raw`C:\mnt\data`]);
});

test('volumes are found whatever the language of Windows', () => {
  expect(volumesOf('Volume "C:" [System]\r\nVolumen D: [Daten]\r\nテキスト E: [x]\r\n')).toEqual(['C:', 'D:', 'E:']);
});

test('a guest without volumes has none', () => {
  expect(volumesOf('BitLocker Drive Encryption:\r\nERROR: no volume was found.\r\n')).toEqual([]);
});
