// Call Telenor's API with the shared token, read through the AWS SDK for JavaScript v3.
//
// Reads paths from stdin, one per line, and prints the status of each response.
// Needs Node.js 20 or newer and @aws-sdk/client-secrets-manager.

import { createInterface } from "node:readline";

import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

const BASE_URL = (process.env.TELENOR_BASE_URL ?? "https://api.telenor.no").replace(/\/+$/, "");

// At least a minute less than the GRACE_SECONDS of the token job.
const CACHE_SECONDS = Number(process.env.CACHE_SECONDS ?? 300);

const secrets = new SecretsManagerClient();
let cached;

/** Return the shared token: from the cache, or read again if that is too old or `fresh` is set. */
async function accessToken({ fresh = false } = {}) {
  const now = Date.now();
  const isYoung = cached !== undefined && now - cached.readAt < CACHE_SECONDS * 1000;
  if (fresh || !isYoung) {
    const command = new GetSecretValueCommand({ SecretId: process.env.TOKEN_SECRET_ID });
    const { SecretString } = await secrets.send(command);
    cached = { token: JSON.parse(SecretString).access_token, readAt: now };
  }
  return cached.token;
}

/** Return the URL of a path at Telenor. Send the token only to TELENOR_BASE_URL: to no other host or port. */
function urlOf(path) {
  const url = new URL(BASE_URL + path);
  if (!path.startsWith("/") || url.origin !== new URL(BASE_URL).origin) {
    throw new Error("a path must begin with / and stay at TELENOR_BASE_URL");
  }
  return url;
}

/** Send one request. Follow no redirect: the token stays at TELENOR_BASE_URL. */
function call(path, token) {
  // The exception about an invalid header would show the token.
  if (!/^[ -~]+$/.test(token)) {
    throw new Error("the token has characters that a header cannot carry");
  }
  const headers = { Authorization: `Bearer ${token}` };
  return fetch(urlOf(path), { headers, redirect: "manual", signal: AbortSignal.timeout(10_000) });
}

/** GET a path. On a 401 read the secret again, and repeat once if it has another token. */
async function get(path) {
  const token = await accessToken();
  const response = await call(path, token);
  if (response.status === 401) {
    const current = await accessToken({ fresh: true });
    if (current !== token) {
      await response.body?.cancel();
      return call(path, current);
    }
  }
  return response;
}

for await (const line of createInterface({ input: process.stdin })) {
  const response = await get(line.trim());
  await response.body?.cancel();
  console.log(response.status);
}
