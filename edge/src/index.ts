export { createInProcessLink, type InProcessLink } from './in-process-link.ts';
export { registerInState, type StateRegistration } from './registration/register-in-state.ts';
export { type Edge, type EdgeOptions, startEdge } from './start-edge.ts';
