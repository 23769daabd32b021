export type { ByteRange } from '@virtnbd/virtual-disk';
export {
  type DescribeFileOptions,
  describeFile,
  type FileDescription,
  type FrameDescription,
} from './describe-file.ts';
export { type DescribeFolderOptions, describeFolder } from './describe-folder.ts';
export { type DiffOptions, type DiffProgress, type DiffReport, type DiskDiff, diffPoints } from './diff.ts';
export type { DiskMap } from './disk-map.ts';
export { InspectError, type InspectErrorCode } from './errors.ts';
export type { HeaderDescription } from './file-header.ts';
export type {
  Amounts,
  ChainDescription,
  DiskDescription,
  DiskRegions,
  FolderDescription,
  PointDescription,
  PointState,
  RestoreDescription,
  StrayFile,
  UnfinishedRun,
} from './folder-description.ts';
export type { FrameStatistics, HistogramBucket } from './frame-stats.ts';
export { type ReportOptions, reportPage } from './html/page.ts';
export { jsonText } from './json-text.ts';
export { pointTree, type TreeRow } from './point-tree.ts';
export type { Check, Damage, FileVerdict, PointVerdict, Verdict, VerifyReport } from './verify/report.ts';
export { type VerifyOptions, type VerifyProgress, verifyFolder } from './verify/verify.ts';
export { visibleText } from './visible-text.ts';
