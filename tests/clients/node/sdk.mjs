// The official Node SDK against a running server: every line printed is a JSON fact that the test compares.
import { InfisicalSDK } from "@infisical/sdk";

const { url, clientId, clientSecret, projectId } = JSON.parse(process.argv[2]);
const client = new InfisicalSDK({ siteUrl: url });
const say = (name, value) => console.log(JSON.stringify({ name, value: value ?? null }));
const place = { environment: "dev", projectId };

await client.auth().universalAuth.login({ clientId, clientSecret });
const first = client.auth().getAccessToken();
await client.auth().universalAuth.renew();
say("a renewed token is a new one", client.auth().getAccessToken() !== first);

const made = await client.secrets().createSecret("NODE", { ...place, secretValue: "one" });
say("created", made.secret.secretValue);
say("read", (await client.secrets().getSecret({ ...place, secretName: "NODE" })).secretValue);
say("updated", (await client.secrets().updateSecret("NODE", { ...place, secretValue: "two" })).secret.secretValue);
say("listed", (await client.secrets().listSecrets(place)).secrets.map((one) => `${one.secretKey}=${one.secretValue}`));
const folder = await client.folders().create({ ...place, name: "inner", path: "/" });
say("folder", folder.name);
say("deleted", (await client.secrets().deleteSecret("NODE", place)).secret.secretKey);
say("left", (await client.secrets().listSecrets(place)).secrets.length);
