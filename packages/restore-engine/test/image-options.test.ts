import { expect, test } from 'vitest';
import { imageOptions, imagePath } from '../src/target/image-options.ts';

const info = (data: object, rest: object = {}): string => JSON.stringify({ ...rest, 'format-specific': { data } });

test('the features of the original image are taken over', () => {
  const text = info(
    { compat: '1.1', 'lazy-refcounts': true, 'compression-type': 'zstd', 'refcount-bits': 16, 'extended-l2': false },
    { 'cluster-size': 131072 },
  );
  expect(imageOptions(text)).toEqual([
    'compat=1.1',
    'cluster_size=131072',
    'lazy_refcounts=on',
    'refcount_bits=16',
    'compression_type=zstd',
    'extended_l2=off',
  ]);
});

test('an image of qcow2 version 2 gets no option that only version 3 knows', () => {
  const text = info({ compat: '0.10', 'refcount-bits': 16, 'lazy-refcounts': false }, { 'cluster-size': 65536 });
  expect(imageOptions(text)).toEqual(['compat=0.10', 'cluster_size=65536']);
});

test('what is not on the list, or has another value than listed, is left out', () => {
  const text = info(
    {
      compat: '1.1,backing_file=/etc/shadow',
      'compression-type': 'none',
      'refcount-bits': 3,
      'data-file': '/etc/passwd',
    },
    { 'cluster-size': 1 << 30, 'backing-filename': '/etc/shadow' },
  );
  expect(imageOptions(text)).toEqual([]);
});

test('a folder without qcow.json leaves qemu its defaults', () => {
  expect(imageOptions(null)).toEqual([]);
});

test.each(['', '[]', '"x"', '{"a":'])('a damaged qcow.json is refused: %s', (text) => {
  expect(() => imageOptions(text)).toThrow(expect.objectContaining({ code: 'BAD_IMAGE_OPTIONS' }));
});

test('the image path is told only when it is an absolute one', () => {
  expect(imagePath('{"filename": "/images/a.qcow2"}')).toBe('/images/a.qcow2');
  expect(imagePath('{"filename": "json:{}"}')).toBeNull();
  expect(imagePath('{}')).toBeNull();
});
