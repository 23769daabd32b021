export { type FileSystemSpec, makeFileSystem, makePartitions, type Placed, place, writeInto } from './disk-images.ts';
export { diskOfImage } from './image-point.ts';
export {
  type DiskSpec,
  domain,
  type FrameSpec,
  fixtures,
  host,
  KIB,
  MIB,
  makePoint,
  type PointSpec,
  wholeDisk,
} from './make-point.ts';
export { type ChainSpec, makeRandomChain, type SamplePoint } from './random-chain.ts';
