export { type AdjustedDomain, adjustDomain } from './domain/adjust.ts';
export type { Adjustment, BootKind, RestoredDisk } from './domain/adjustment.ts';
export type { DefinedDomain, DomainRequest, RestoredDomain } from './domain/request.ts';
export { RestoreError, type RestoreErrorCode } from './errors.ts';
export type { PlannedImage, PlannedTarget, RestorePlan, RestoreSelection } from './plan.ts';
export type {
  RestoreContext,
  RestoredImage,
  RestoreEvent,
  RestorePhase,
  RestoreRequest,
  RestoreResult,
} from './request.ts';
export { runRestore } from './run.ts';
export { dumpHeaders } from './source/dump-headers.ts';
export type { Hole, HoleContent } from './source/holes.ts';
export type { PointState } from './source/point-states.ts';
export type { DiskEstimate, RestoreEstimate } from './source/survey.ts';
export { IMAGE_FORMATS, type ImageFormat, imageFormat, isImageFormat } from './target/image-format.ts';
