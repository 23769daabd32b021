/** Far above any domain's XML; a larger text is not one. Characters. */
export const MAX_LENGTH = 16 * 1024 * 1024;
/** A backing chain of 200 images is the deepest that libvirt takes, one element for each. */
export const MAX_DEPTH = 1000;
