import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** The path of one of the sample pictures. */
export function samplePath(task: 'digits' | 'fashion', name: string): string {
  return fileURLToPath(new URL(`../../models/${task}/samples/${name}.png`, import.meta.url));
}

/** An answer of `POST /v1/tasks/{task}/infer`, or an error. */
export interface PictureAnswer {
  readonly status: number;
  readonly body: {
    readonly predictions?: readonly { readonly label: string; readonly score: number }[];
    readonly placement?: {
      readonly tier: string;
      readonly variant: string;
      readonly worker: string;
      readonly decision_id: string;
      readonly cost_usd: number;
    };
    readonly code?: string;
    readonly error?: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
}

/** Asks a mesh about a sample picture. */
export async function inferPicture(
  mesh: { readonly url: string; readonly token: string },
  query: Readonly<Record<string, string | number>> = {},
  picture = samplePath('digits', 'seven'),
  task = 'digits',
): Promise<PictureAnswer> {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`${mesh.url}/v1/tasks/${task}/infer?${parameters}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${mesh.token}`, 'Content-Type': 'image/png' },
    body: new Uint8Array(await readFile(picture)),
  });
  return { status: response.status, body: (await response.json()) as PictureAnswer['body'] };
}
