export { RestoreError, type RestoreErrorCode } from './errors.ts';
export type { PlannedImage, RestorePlan, RestoreSelection } from './plan.ts';
export {
  type RestoreContext,
  type RestoreEvent,
  type RestoreRequest,
  type RestoreResult,
  runRestore,
} from './run.ts';
