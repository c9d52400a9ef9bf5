// oidc-provider with two clients of the client credentials grant.
//
//   CLIENTS='{"client_id": "client_secret", ...}' node oidc_provider.mjs
//
// It prints its endpoints as JSON once it listens, and exits when its stdin closes.

import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: Object.entries(JSON.parse(process.env.CLIENTS)).map(([client_id, client_secret]) => ({
      client_id,
      client_secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    ttl: { ClientCredentials: 3599 },
  })
  server.on('request', provider.callback())
  console.log(
    JSON.stringify({
      token: `${issuer}/token`,
      revocation: `${issuer}/token/revocation`,
      introspection: `${issuer}/token/introspection`,
    }),
  )
})

process.stdin.resume().on('end', () => process.exit())
