export type { Driver, DriverRequest, DriverResult } from './driver/driver.ts';
