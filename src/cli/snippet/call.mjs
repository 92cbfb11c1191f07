// Calls {{upstream}} through veilwarden, once a minute.
import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";

const { VEILWARDEN_URL, VEILWARDEN_TOKEN_FILE, SECONDS_BETWEEN_CALLS = "60" } = process.env;

async function call(host, path, options = {}) {
  // The file is read for every call, because the kubelet renews the token.
  const token = (await readFile(VEILWARDEN_TOKEN_FILE, "utf8")).trim();
  return fetch(VEILWARDEN_URL + path, {
    ...options,
    headers: { ...options.headers, Authorization: `Bearer ${token}`, "X-Upstream-Host": host },
    redirect: "manual", // the token is for veilwarden only
    signal: AbortSignal.timeout(150_000),
  });
}

for (;;) {
  try {
    const answer = await call("{{upstream}}", "{{path}}");
    // The field is there only if veilwarden itself answered.
    const refusal = answer.headers.get("X-Veilwarden-Error") ?? "";
    console.log(`${await answer.text()}\n${answer.status} ${refusal}`);
  } catch (error) {
    console.error(error);
  }
  await setTimeout(Number(SECONDS_BETWEEN_CALLS) * 1000);
}
