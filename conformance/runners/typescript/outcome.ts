/** What a call came to, as the driver wants to be told. */

import { AntiphonError } from "@antiphon/client";

export type Outcome = Record<string, unknown>;

/** The outcome of `call`: what it tells when it succeeds, else the error. */
export async function outcome(call: () => Promise<Outcome>, told: () => Outcome = () => ({})): Promise<Outcome> {
  try {
    return { ok: true, ...(await call()), ...told() };
  } catch (failed) {
    if (!(failed instanceof AntiphonError)) throw failed;
    return {
      ok: false,
      error: described(failed),
      trailers: shown(failed.trailers),
      tries: failed.tries,
      ...told(),
    };
  }
}

/** The values by their keys; those of a repeated key are one, as the library joins them. */
export function shown(headers: Headers): Record<string, string> {
  return Object.fromEntries(headers);
}

function described(error: AntiphonError): Outcome {
  return {
    code: error.code,
    message: error.message,
    reason: error.reason,
    ...(error.domain && { domain: error.domain }),
    ...(Object.keys(error.metadata).length && { metadata: error.metadata }),
    ...(error.violations.length && { violations: error.violations }),
    ...(error.retryAfterMs !== undefined && {
      retry_after_ms: Math.round(error.retryAfterMs),
    }),
    ...(error.quotas.length && { quotas: error.quotas }),
    ...(error.resource && { resource: error.resource }),
  };
}
