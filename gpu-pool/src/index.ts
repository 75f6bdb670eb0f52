export { artifactDownload } from './artifact-download.ts';
export { type MeshUrls, parseJoinUrl } from './join-url.ts';
export { SocketLink } from './socket-link.ts';
export { type PoolWorker, type PoolWorkerOptions, startPoolWorker } from './start-pool-worker.ts';
