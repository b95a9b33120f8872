/** The connection to a server. */

import { X509Certificate } from "node:crypto";
import type { Http2Session } from "node:http2";
import { createSecureContext } from "node:tls";

import { Code, ConnectError } from "@connectrpc/connect";
import { Http2SessionManager } from "@connectrpc/connect-node";

import type { TLS } from "./options.js";

const CONNECT_TIMEOUT_MS = 10_000;
const PING_TIMEOUT_MS = 10_000;

/** The library's connection, which is opened when a call needs it, with what it lacks. */
export class Session extends Http2SessionManager {
  readonly #met = new WeakSet<Http2Session>();
  #taken = false;
  #spoken = false;

  /** Throws a TypeError for a certificate or a key that is none. */
  constructor(url: string, tls: TLS | undefined, keepaliveMs: number) {
    const pings = { pingIntervalMs: keepaliveMs, pingTimeoutMs: PING_TIMEOUT_MS };
    super(url, pings, tls && { ...contextOf(tls), ...(tls.serverName && { servername: tls.serverName }) });
  }

  /** Whether the server takes connections in plain text, and has never said a word of HTTP/2. */
  get mute(): boolean {
    return this.#taken && !this.#spoken && this.authority.startsWith("http:");
  }

  override async request(...how: Parameters<Http2SessionManager["request"]>) {
    // The library gives up connecting only when the system does, which for a handshake of TLS is never.
    const late = setTimeout(() => {
      if (this.state() === "connecting") this.abort(lost(`no connection within ${CONNECT_TIMEOUT_MS / 1000} seconds`));
    }, CONNECT_TIMEOUT_MS);
    try {
      const stream = await super.request(...how);
      if (stream.session) this.#meet(stream.session);
      // A server that closes its connection in good order ends its streams so, too, which the library does not take for an answer.
      let answered = false;
      stream.once("response", () => (answered = true));
      stream.once("close", () => answered || stream.emit("error", lost("the connection was closed")));
      return stream;
    } finally {
      clearTimeout(late);
    }
  }

  #meet(session: Http2Session): void {
    if (this.#met.has(session)) return;
    this.#met.add(session);
    // The library stops listening to a lost connection that a call replaces, which may tell its error only then: unheard, that
    // would end the process.
    session.on("error", () => {});
    this.#taken = true;
    const silent = setTimeout(() => session.destroy(lost("it is silent")), CONNECT_TIMEOUT_MS).unref();
    session.once("remoteSettings", () => {
      this.#spoken = true;
      clearTimeout(silent);
    });
    session.once("close", () => clearTimeout(silent));
  }
}

function lost(how: string): ConnectError {
  return new ConnectError(how, Code.Unavailable);
}

function contextOf({ ca, certificate: cert, key }: TLS) {
  // What is no certificate is skipped there, and nobody trusted.
  if (ca !== undefined && !certified(ca)) throw new TypeError("tls: ca has no certificate (PEM)");
  try {
    return { secureContext: createSecureContext({ ca, cert, key }) };
  } catch (unread) {
    throw new TypeError(`tls: ${unread instanceof Error ? unread.message : unread}`, { cause: unread });
  }
}

function certified(pem: string | Buffer): boolean {
  try {
    return pem.includes("-----BEGIN ") && !!new X509Certificate(pem);
  } catch {
    return false;
  }
}
