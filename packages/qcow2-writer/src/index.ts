export { Qcow2Error, type Qcow2ErrorCode } from './errors.ts';
export { HEADER_AREA, type Qcow2Header } from './header.ts';
export { type ImagePiece, Qcow2Layout } from './layout.ts';
