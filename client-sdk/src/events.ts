import type { MeshEvents } from './types.ts';

/** Sends one event of the mesh. */
export type Emit = <Type extends keyof MeshEvents>(type: Type, detail: MeshEvents[Type]) => void;

/** An emitter on `target`. Safe where there is no document, as on a server that renders the page. */
export function createEmit(target: EventTarget): Emit {
  return (type, detail) => {
    target.dispatchEvent(new CustomEvent(type, { detail }));
  };
}
