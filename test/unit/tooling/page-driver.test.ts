import type { Driver } from '@nearfar/web';
import { expectTypeOf, test } from 'vitest';
import type { PageDriver } from '../../../cli/src/demo/page-driver.ts';

test('the demo describes the bare page that it drives as that page is', () => {
  expectTypeOf<Driver>().toExtend<PageDriver>();
});
