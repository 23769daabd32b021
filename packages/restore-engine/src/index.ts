export { type AdjustedDomain, adjustDomain } from './domain/adjust.ts';
export type { Adjustment, BootKind, RestoredDisk } from './domain/adjustment.ts';
export type { DefinedDomain, DomainRequest, RestoredDomain } from './domain/request.ts';
export { dumpHeaders } from './dump-headers.ts';
export { RestoreError, type RestoreErrorCode } from './errors.ts';
export type { Hole, HoleContent } from './holes.ts';
export { IMAGE_FORMATS, type ImageFormat, imageFormat, isImageFormat } from './image-format.ts';
export type { PlannedImage, PlannedTarget, RestorePlan, RestoreSelection } from './plan.ts';
export type { PointState } from './point-states.ts';
export type {
  RestoreContext,
  RestoredImage,
  RestoreEvent,
  RestorePhase,
  RestoreRequest,
  RestoreResult,
} from './request.ts';
export { runRestore } from './run.ts';
export type { DiskEstimate, RestoreEstimate } from './survey.ts';
