import type { Registrar } from '@nearfar/coordinator';
import {
  createCoordinator,
  createMemoryAccounts,
  createMemoryArtifacts,
  createMemoryProfiles,
  createMemoryRegistry,
} from '@nearfar/coordinator';
import { nodeClock } from '@nearfar/coordinator/node';
import { expect, test } from 'vitest';
import { SAMPLE_PRICES, sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';

test('a mesh closes its stores after what its end has begun', async () => {
  const order: string[] = [];
  const begun = Promise.withResolvers<void>();
  const registrar: Registrar = {
    register: (_request, _known, _emit, signal) => {
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  const artifacts = createMemoryArtifacts();
  const coordinator = await createCoordinator({
    clock: nodeClock,
    registry: createMemoryRegistry(),
    profiles: createMemoryProfiles(),
    artifacts: {
      ...artifacts,
      delete: async (sha256) => {
        order.push('deletion begins');
        await nodeClock.sleep(0);
        order.push('deletion ends');
        await artifacts.delete(sha256);
      },
      close: async () => void order.push('store closes'),
    },
    accounts: createMemoryAccounts(),
    prices: SAMPLE_PRICES,
    secret: new Uint8Array(32).fill(1),
    pictures: { toTensor: () => Promise.reject(new Error('No pictures')), close: async () => {} },
    registrar,
    isAuthRequired: false,
    log: () => {},
  });
  const file = { path: 'tiny.onnx', ...(await artifacts.write(new Uint8Array(3))) };
  await coordinator.register(sampleTask({ variants: [sampleVariant({ artifacts: [file] })] }));
  const models = [{ name: 'tiny', format: 'onnx', path: 'tiny.onnx', licence: 'CC0-1.0' }];
  const manifest = { task: 'other', kind: 'tensor', models };
  const body = JSON.stringify({ manifest, files: {} });
  const registering = coordinator.app.request('/v1/models', { method: 'POST', body });
  await begun.promise;
  // The files stay as long as a registration may count on them.
  expect((await coordinator.app.request('/v1/models/sample', { method: 'DELETE' })).status).toBe(200);
  await coordinator.close();
  expect((await registering).status).toBe(503);
  expect(order).toEqual(['deletion begins', 'deletion ends', 'store closes']);
});
