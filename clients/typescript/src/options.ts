/** What a client can be told at its making, and what that means. */

import type { Tokens } from "./tokens.js";

/** How a connection is protected; texts are PEM. */
export interface TLS {
  /** The authorities to trust; those that Node comes with by default. */
  readonly ca?: string | Buffer;
  /** With `key`, presents the caller for mutual TLS. */
  readonly certificate?: string | Buffer;
  readonly key?: string | Buffer;
  /** What the server's certificate is checked for when that is not the address's host. */
  readonly serverName?: string;
}

/** How often a call that may safely be repeated is tried, and how long the pauses are. */
export interface Retries {
  /** Tries of a call, and of a stream until its first event; 5 by default, 1 for none but the first. */
  readonly attempts: number;
  /** Tries of an answer or a download since something last arrived; by default 24, which take about a minute. */
  readonly resumeAttempts: number;
  /** The first pause, 100 ms by default; the next ones double, and each loses up to half of itself by chance. */
  readonly firstDelayMs: number;
  /** The longest pause, 5 seconds by default; a server that asks for a longer one is not waited for. */
  readonly maxDelayMs: number;
}

/** How long calls may take, tries and pauses included; 0 for no limit. Calls can say otherwise by `timeoutMs`. */
export interface Timeouts {
  /** For calls that are answered at once; 30 seconds by default. */
  readonly unaryMs: number;
  /** For calls that wait for something to be made: Chat, GenerateImage, Synthesize, Reconcile; ten minutes by default. */
  readonly answerMs: number;
  /** For streams; no limit by default. */
  readonly streamMs: number;
}

/** What a client can be told at its making; whatever is left out, or undefined, has its default. */
export interface ClientOptions {
  /** An access token or an API key. */
  readonly token?: string | undefined;
  /** Renews the access token; `login` brings one, too. */
  readonly refreshToken?: string | undefined;
  /** Told of new tokens after a login or a renewal, and of undefined after a logout; to keep them between processes. */
  readonly onTokens?: ((tokens: Tokens | undefined) => void) | undefined;
  /** False allows plain text to other machines; see `Address`. */
  readonly tls?: TLS | boolean | undefined;
  /** How often calls are tried. */
  readonly retries?: Partial<Retries> | undefined;
  /** How long calls may take. */
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** A ping after so long a silence of a call; 30 seconds by default. */
  readonly keepaliveMs?: number | undefined;
  /** How large a message may be that the server sends; 64 MiB by default. */
  readonly maxMessageBytes?: number | undefined;
}

/** With the default wherever nothing is said. */
export function retriesOf(said: ClientOptions["retries"] = {}): Retries {
  const { attempts = 5, resumeAttempts = 24, firstDelayMs = 100, maxDelayMs = 5000 } = said;
  return { attempts, resumeAttempts, firstDelayMs, maxDelayMs };
}

/** With the default wherever nothing is said. */
export function timeoutsOf(said: ClientOptions["timeouts"] = {}): Timeouts {
  const { unaryMs = 30_000, answerMs = 600_000, streamMs = 0 } = said;
  return { unaryMs, answerMs, streamMs };
}

/** Where the server listens, and how the connection to it is protected. */
export interface Address {
  readonly url: string;
  readonly tls: TLS | undefined;
}

/**
 * Reads `host:port`, `http://host:port` or `https://host:port`.
 *
 * Without a scheme and without `tls`, loopback addresses are spoken to in plain text and all others over TLS, so that no token
 * travels in the open unless that was asked for by name. Throws a TypeError for what is no address.
 */
export function addressOf(server: string, tls: TLS | boolean | undefined): Address {
  const [, scheme, rest] = /^(?:(https?):\/\/)?([^/@?#\s]+)\/?$/.exec(server.trim()) ?? [];
  // `URL` drops a port that is the scheme's own, so it is looked for in the text.
  const named = rest !== undefined && (scheme !== undefined || /:\d+$/.test(rest));
  if (!named || !URL.canParse(`http://${rest}`)) {
    throw new TypeError(`${server}: write host:port, such as 127.0.0.1:50051, http://host:port or https://host:port`);
  }
  if (scheme === "http" && tls) throw new TypeError(`${server} means plain text, yet TLS was asked for`);
  if (scheme === "https" && tls === false) throw new TypeError(`${server} means TLS, yet plain text was asked for`);
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/i.test(new URL(`http://${rest}`).hostname);
  const secure = tls ? true : tls === false ? false : scheme ? scheme === "https" : !loopback;
  if (!secure) return { url: `http://${rest}`, tls: undefined };
  const chosen = typeof tls === "object" ? tls : {};
  if (!chosen.certificate !== !chosen.key) throw new TypeError("mutual TLS needs both a certificate and its key");
  return { url: `https://${rest}`, tls: chosen };
}
