// A real OpenID Connect provider, for tests: whoever types a name is that person, with the address NAME@harbour.example, which
// it vouches for unless the name begins with "new". Says its issuer, and runs until it is ended.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const server = createServer();
await new Promise((go) => server.listen(0, "127.0.0.1", go));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{ client_id: "berth", client_secret: process.env.OIDC_SECRET, redirect_uris: [process.env.OIDC_BACK] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["a key of a test"] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, accountId) => ({
    accountId,
    claims: () => ({ sub: accountId, name: accountId, email: `${accountId}@harbour.example`, email_verified: !accountId.startsWith("new") }),
  }),
  pkce: { required: () => true },
});
server.on("request", provider.callback());
console.log(issuer);
