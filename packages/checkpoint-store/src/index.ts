export { CheckpointStoreError, type CheckpointStoreErrorCode } from './errors.ts';
export {
  checkpointName,
  childrenFirst,
  type DomainCheckpoint,
  isDefinedAgain,
  isSame,
  ownNumber,
  type RecordedCheckpoint,
} from './identity.ts';
export {
  acceptPlan,
  type CheckpointPlan,
  type PlanInput,
  planCheckpoints,
  type Redefinition,
  type Refusal,
} from './plan.ts';
export {
  type CheckpointConnection,
  checkBitmaps,
  type Redefined,
  type Removal,
  type RollBack,
  type RunOptions,
  readCheckpoints,
  redefineMissing,
  removeChain,
  removeStrayBitmaps,
  rollBack,
  trackedDisks,
  type Uncommitted,
} from './run.ts';
