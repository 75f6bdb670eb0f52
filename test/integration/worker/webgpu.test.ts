import { existsSync } from 'node:fs';
import { createWorker, systemClock } from '@nearfar/worker';
import { describe, expect, test } from 'vitest';
import { digitsVariant } from '../../support/worker/digits.ts';
import { sourceOf } from '../../support/worker/model-variant.ts';
import { RecordingLink } from '../../support/worker/recording-link.ts';

/** The software adapter of Debian's chromium package, and the folders in which its loader may lie. */
const ADAPTER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const LOADERS = ['/usr/lib/x86_64-linux-gnu/libvulkan.so.1', '/usr/lib/aarch64-linux-gnu/libvulkan.so.1'];
const REASON = 'needs SwiftShader of the chromium package and the libvulkan1 package';

const isHere = existsSync(ADAPTER) && LOADERS.some((path) => existsSync(path));

describe('a worker on WebGPU, here in software: right and slow', () => {
  test.skipIf(!isHere && process.env.CI !== 'true')(
    `runs on it when it is asked to by name, and passes the self-test (skipped where it ${REASON})`,
    async () => {
      // Read by the Vulkan loader when the first session of this process asks for an adapter.
      process.env.VK_ICD_FILENAMES = ADAPTER;
      const tiny = await digitsVariant('tiny');
      const worker = await createWorker({
        workerId: 'worker',
        tier: 'pool',
        device: 'webgpu',
        artifacts: sourceOf(tiny),
        clock: systemClock,
        log: () => undefined,
      });
      expect(worker.device.kind).toBe('webgpu');
      expect(worker.device.deviceClass).toMatch(/^webgpu:/);
      const link = new RecordingLink();
      worker.connect(link);
      link.welcome();
      link.deliver({ type: 'variant-load', spec: tiny.spec });
      const replica = await link.until(() =>
        link
          .of('load-report')
          .flatMap(({ replicas }) => replicas)
          .find(({ state }) => state !== 'loading'),
      );
      expect(replica).toMatchObject({ state: 'ready' });
      await worker.close();
    },
  );
});
