// A certified OpenID provider on a loopback port, with people who sign in without being asked.
// Prints its issuer. `POST /test/rotate` gives it a new signing key, `POST /test/person` says who signs in next.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const PEOPLE = {
  ana: { email: 'Ana.Ruiz@Larkspur.example', email_verified: true, groups: ['support'], org: 'larkspur-gmbh' },
  maya: { email: 'maya.okafor@larkspur.example', email_verified: true, groups: ['leads', 'cooking'], org: 'larkspur-gmbh' },
  mallory: { email: 'ana.ruiz@larkspur.example', email_verified: false, groups: ['support'], org: 'larkspur-gmbh' },
  eve: { email: 'eve@elsewhere.example', email_verified: true, groups: ['support'], org: 'elsewhere' },
};
const SCOPES = 'remit.read remit.write remit.send';
const native = { token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: ['http://127.0.0.1/callback'] };
const service = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [], client_secret: 'not-a-secret' };
const CLIENTS = [
  { client_id: 'desktop', ...native },
  { client_id: 'unlisted', ...native },
  { client_id: 'assistant-app', ...native },
  { client_id: 'console', client_secret: 'not-a-secret', redirect_uris: process.argv.slice(3) },
  { client_id: 'triage-bot', ...service },
  { client_id: 'stranger-bot', ...service },
  { client_id: 'gateway', ...service, grant_types: [], introspection_endpoint_auth_method: 'client_secret_basic' },
];

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
}

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
let person = 'ana';
let handle;

function start() {
  const provider = new Provider(issuer, {
    clients: CLIENTS,
    jwks: { keys: [signingKey()] },
    cookies: { keys: ['not-a-secret'] },
    scopes: ['openid', 'offline_access', ...SCOPES.split(' ')],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: false,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
    extraTokenClaims: (ctx, token) => ({
      ...(PEOPLE[token.accountId] ?? {}),
      ...(token.clientId === 'assistant-app' ? { act: { sub: 'assistant-app', act: { sub: 'first-agent' } } } : {}),
    }),
    ttl: { AccessToken: 300, ClientCredentials: 300 },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      registration: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: SCOPES,
          audience: resource.replace('/opaque', '/mcp'),
          accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next();
    const { params, session } = await provider.interactionDetails(ctx.req, ctx.res);
    const accountId = session?.accountId ?? person;
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(`openid email groups offline_access ${SCOPES}`);
    if (params.resource) grant.addResourceScope(params.resource, params.scope ?? '');
    const consent = { grantId: await grant.save() };
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId }, consent });
    ctx.respond = false;
  });
  handle = provider.callback();
}

start();
createServer((request, response) => {
  const [, test, what, value] = request.url.split('/');
  if (test !== 'test') return handle(request, response);
  if (what === 'rotate') start();
  if (what === 'person') person = value;
  response.end('done');
}).listen(port, '127.0.0.1', () => console.log(issuer));
