import { readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, platform } from 'node:os';
import type { Device } from '@nearfar/protocol';
import type { Provider } from './engine-messages.ts';

/** Longest hardware name in a device class; the class has at most 96 characters. */
const MAX_NAME_LENGTH = 64;

/**
 * The device that a provider runs on. Its class holds what decides the speed: the hardware's name and, on a CPU, the
 * threads of one session.
 */
export function describeDevice(provider: Provider, threadsPerSession: number): Device {
  if (provider === 'cpu') {
    const model = cpus()[0]?.model.trim() || arch();
    return {
      kind: 'cpu',
      deviceClass: `cpu:${normaliseHardwareName(model)}:${threadsPerSession}t`,
      description:
        `${model}, ${threadsPerSession} thread${threadsPerSession === 1 ? '' : 's'} a session`.slice(0, 256),
    };
  }
  const name = gpuName();
  return {
    kind: provider,
    deviceClass: `${provider}:${normaliseHardwareName(name)}`,
    description: name.slice(0, 256),
  };
}

/** A hardware name as it goes into a device class: `AMD EPYC 9R14 96-Core Processor` becomes `amd-epyc-9r14`. */
export function normaliseHardwareName(name: string): string {
  const words = name
    .toLowerCase()
    .replace(/\((r|tm|c)\)/g, ' ')
    .replace(/@.*$/, '')
    .replace(/\b\d+-core\b|\bprocessor\b|\bcpu\b/g, ' ')
    .replace(/[^a-z0-9._]+/g, '-')
    .slice(0, MAX_NAME_LENGTH)
    .replace(/^[-._]+|[-._]+$/g, '');
  return words === '' ? 'unknown' : words;
}

/** Device files through which a process on Linux reaches a GPU. */
export function gpuDeviceNodes(): string[] {
  const render = entries('/dev/dri').filter((name) => name.startsWith('renderD'));
  const others = entries('/dev').filter((name) => name === 'nvidia0' || name === 'dxg');
  return [...render.map((name) => `/dev/dri/${name}`), ...others.map((name) => `/dev/${name}`)];
}

/** What the driver calls the first GPU; on Linux from `/proc` or the PCI ids, elsewhere just the platform. */
function gpuName(): string {
  for (const slot of entries('/proc/driver/nvidia/gpus')) {
    const model = /^Model:\s*(.+)$/m.exec(text(`/proc/driver/nvidia/gpus/${slot}/information`))?.[1];
    if (model !== undefined) return model.trim();
  }
  for (const card of entries('/sys/class/drm').filter((name) => name.startsWith('renderD'))) {
    const vendor = text(`/sys/class/drm/${card}/device/vendor`).trim();
    const device = text(`/sys/class/drm/${card}/device/device`).trim();
    if (vendor !== '') return `pci ${vendor.replace('0x', '')} ${device.replace('0x', '')}`;
  }
  return `${platform()}-${arch()}`;
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // A folder that is not there means that there is no such hardware.
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // The same.
  }
}
