// An OAuth server that is not ours, oidc-provider, for one client of client_credentials.
//
//   CLIENT_ID=... CLIENT_SECRET=... LIFE_SECONDS=3599 node server.mjs
//
// It prints its issuer once it listens, and ends when its stdin closes.

import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const { CLIENT_ID, CLIENT_SECRET, LIFE_SECONDS } = process.env

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    scopes: ['incidents.read'],
    ttl: { ClientCredentials: Number(LIFE_SECONDS) },
  })
  server.on('request', provider.callback())
  console.log(issuer)
})

process.stdin.resume().on('end', () => process.exit())
