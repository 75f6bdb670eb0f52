import type { TaskInfo } from '@nearfar/protocol';

/**
 * Whether tensors that were made for the one revision mean the same to the other, and its answers can be read in the same
 * way. The variants of a revision share one signature. Both come through the protocol's schemas, which put the keys of all
 * that is compared in one order.
 */
export function isSameInterface(one: TaskInfo, other: TaskInfo): boolean {
  return JSON.stringify(interfaceOf(one)) === JSON.stringify(interfaceOf(other));
}

function interfaceOf({ labels, preprocess, postprocess, variants: [first] }: TaskInfo) {
  return { labels, preprocess, postprocess, inputs: first?.inputs, outputs: first?.outputs };
}
