import type { RegistrationEvent } from '@nearfar/protocol';
import { expect, test } from 'vitest';
import { registrationEvents } from '../../../cli/src/register/register-on-mesh.ts';

const NOTE = { type: 'note', message: 'größer' } as const;

/** An answer whose body comes in these parts and then ends, or breaks off. */
function answer(parts: readonly Uint8Array<ArrayBuffer>[], end: 'ends' | 'breaks' = 'ends'): Response {
  const left = [...parts];
  return new Response(
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        const part = left.shift();
        if (part !== undefined) controller.enqueue(part);
        else if (end === 'ends') controller.close();
        // What fetch says when the other side is gone.
        else controller.error(new TypeError('terminated'));
      },
    }),
  );
}

async function read(response: Response): Promise<RegistrationEvent[]> {
  const events: RegistrationEvent[] = [];
  for await (const event of registrationEvents(response)) events.push(event);
  return events;
}

const bytes = new TextEncoder().encode(`${JSON.stringify(NOTE)}\n${JSON.stringify(NOTE)}\n`);

test('events are read in whatever parts they come', async () => {
  for (const size of [1, 7, bytes.length]) {
    const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.slice(index * size, (index + 1) * size),
    );
    expect(await read(answer(parts))).toEqual([NOTE, NOTE]);
  }
});

test.each(['ends', 'breaks'] as const)(
  'a stream that %s inside a line is told of as a mesh that went away',
  async (end) => {
    const cut = answer([bytes.slice(0, bytes.length - 5)], end);
    await expect(read(cut)).rejects.toMatchObject({
      code: 'MESH_NETWORK',
      message: expect.stringContaining('run it again'),
    });
  },
);

test('a line that is no event is told of', async () => {
  const strange = answer([new TextEncoder().encode('{"type":"party"}\n')]);
  await expect(read(strange)).rejects.toMatchObject({ code: 'MESH_INTERNAL' });
});
