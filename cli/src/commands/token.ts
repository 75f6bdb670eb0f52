import { createToken } from '@nearfar/coordinator';
import { readSecret } from '../local-secret.ts';

interface TokenOptions {
  readonly role: 'client' | 'worker' | 'admin';
  readonly tier: 'pool' | 'edge';
  readonly subject: string;
  readonly expiresIn: number;
  readonly state: string;
  readonly json?: boolean;
}

/** `nearfar token create`: prints a token signed with the mesh's secret. */
export async function createTokenCommand(options: TokenOptions): Promise<void> {
  const secret = await readSecret(options.state);
  const { role, subject, tier } = options;
  const grant = {
    role,
    subject,
    expiresInSeconds: options.expiresIn * 3600,
    ...(role === 'worker' && { tier }),
  };
  const token = await createToken(secret, grant);
  const text = options.json ? JSON.stringify({ token, ...grant }) : token;
  process.stdout.write(`${text}\n`);
}
