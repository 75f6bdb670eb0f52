export { createInProcessLink, type InProcessLink } from './in-process-link.ts';
export { type Edge, type EdgeOptions, startEdge } from './start-edge.ts';
