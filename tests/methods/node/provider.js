// oidc-provider over TLS on loopback. Argument: a JSON file with key, cert and jwks. Says its port on the first line.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const { key, cert, jwks } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const server = createServer({ key, cert });

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`https://127.0.0.1:${port}`, {
    jwks,
    clients: [{
      client_id: 'robot',
      client_secret: 'beep',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'login',
          audience: 'watchword',
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: new URL(resource).hash.slice(1) || new URL(resource).pathname.slice(1) } },
        }),
      },
    },
    extraTokenClaims: () => ({ repository: 'octo/app', groups: ['dev', 'ops'] }),
  });
  server.on('request', provider.callback());
  console.log(port);
});
