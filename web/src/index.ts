export type { Driver, DriverRequest, DriverResult } from './driver/driver.ts';

/** Folder of the built pages, for a coordinator that serves them. Made by `npm run build:web`. */
export const PAGES_URL: URL = new URL('../dist/', import.meta.url);
