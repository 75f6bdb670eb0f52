import { createToken } from '@nearfar/coordinator';
import { readSecret } from '../local-secret.ts';

interface TokenOptions {
  readonly role: 'client' | 'worker' | 'admin';
  readonly subject: string;
  readonly expiresIn: number;
  readonly state: string;
  readonly json?: boolean;
}

/** `nearfar token create`: prints a token signed with the mesh's secret. */
export async function createTokenCommand(options: TokenOptions): Promise<void> {
  const secret = await readSecret(options.state);
  const expiresInSeconds = options.expiresIn * 3600;
  const token = await createToken(secret, { role: options.role, subject: options.subject, expiresInSeconds });
  const text = options.json
    ? JSON.stringify({ token, role: options.role, subject: options.subject, expiresInSeconds })
    : token;
  process.stdout.write(`${text}\n`);
}
