import type { RegisteredTask } from '@nearfar/core';
import { isSameJson } from './same-json.ts';

/**
 * Whether tensors that were made for the one revision mean the same to the other, and its answers can be read in the same
 * way. The variants of a revision share one signature.
 */
export function isSameInterface(one: RegisteredTask, other: RegisteredTask): boolean {
  return isSameJson(interfaceOf(one), interfaceOf(other));
}

function interfaceOf({ labels, preprocess, audio, postprocess, variants: [first] }: RegisteredTask) {
  return { labels, preprocess, audio, postprocess, inputs: first?.inputs, outputs: first?.outputs };
}
