/** The tokens that calls are sent with, renewed by one call whoever waits for them. */

import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";

import { AntiphonError } from "./errors.js";

/** A pair of tokens. Without a refresh token the access token, which may be an API key, is used as long as the server takes it. */
export interface Tokens {
  readonly accessToken: string;
  /** By this machine's clock, in milliseconds since 1970; undefined when not known. */
  readonly expireTimeMs?: number | undefined;
  readonly refreshToken: string;
}

interface Issued {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly accessTokenExpireTime?: Timestamp | undefined;
}

type Renew = (refreshToken: string) => Promise<Issued>;

const REFRESH_BEFORE_MS = 30_000;
const REFRESH_PAUSE_MS = 1000;

// Failures that say nothing against a token: one that still lives is used on.
const TRANSIENT: ReadonlySet<string> = new Set([
  "UNAVAILABLE",
  "RESOURCE_EXHAUSTED",
  "DEADLINE_EXCEEDED",
  "INTERNAL",
  "UNKNOWN",
]);

export class LoginSession {
  #tokens: Tokens | undefined;
  #renewing: Promise<Tokens> | undefined;
  #restsUntil = 0;

  constructor(
    tokens: Tokens | undefined,
    private readonly renew: Renew,
    private readonly onTokens: (tokens: Tokens | undefined) => void,
  ) {
    this.#tokens = tokens;
  }

  get tokens(): Tokens | undefined {
    return this.#tokens;
  }

  /** Keeps the tokens of a login or a renewal; undefined forgets them. */
  keep(issued: Issued | undefined): Tokens | undefined {
    this.#tokens = issued && {
      accessToken: issued.accessToken,
      refreshToken: issued.refreshToken,
      expireTimeMs: endOf(issued),
    };
    this.#restsUntil = 0;
    this.onTokens(this.#tokens);
    return this.#tokens;
  }

  /** The access token, if it can be sent as it is, given that the server has `rejected` one; empty for anonymous callers. */
  current(rejected: string): string | undefined {
    const tokens = this.#tokens;
    if (!tokens) return "";
    if (!tokens.refreshToken || lives(tokens, rejected, REFRESH_BEFORE_MS)) return tokens.accessToken;
    // Who could not renew it a moment ago is not asked again by every call while the token lives.
    return lives(tokens, rejected, 0) && performance.now() < this.#restsUntil ? tokens.accessToken : undefined;
  }

  /** An access token that is not `rejected`, renewed when that is due. */
  async token(rejected: string): Promise<string> {
    const current = this.current(rejected);
    if (current !== undefined || !this.#tokens) return current ?? "";
    this.#renewing ??= this.#renewed(this.#tokens, rejected).finally(() => (this.#renewing = undefined));
    return (await this.#renewing).accessToken;
  }

  /** Forgets the tokens once `revoke` has ended what they stand for. */
  async end(revoke: (refreshToken: string) => Promise<unknown>): Promise<void> {
    // A renewal that is under way brings another refresh token.
    await this.#renewing?.catch(() => {});
    const refreshToken = this.#tokens?.refreshToken;
    if (refreshToken) await revoke(refreshToken);
    this.keep(undefined);
  }

  async #renewed(tokens: Tokens, rejected: string): Promise<Tokens> {
    try {
      const issued = await this.renew(tokens.refreshToken);
      // Somebody may have logged in or out meanwhile: that counts.
      if (this.#tokens !== tokens) return this.#tokens ?? loggedOut();
      return this.keep(issued) ?? loggedOut();
    } catch (failure) {
      if (!(failure instanceof AntiphonError) || !TRANSIENT.has(failure.code)) throw failure;
      this.#restsUntil = performance.now() + (failure.retryAfterMs ?? REFRESH_PAUSE_MS);
      if (lives(tokens, rejected, 0)) return tokens;
      throw failure;
    }
  }
}

function loggedOut(): never {
  throw new AntiphonError("UNAUTHENTICATED", "you have logged out; log in again", { reason: "CREDENTIAL_MISSING" });
}

function lives(tokens: Tokens, rejected: string, marginMs: number): boolean {
  if (!tokens.accessToken || tokens.accessToken === rejected) return false;
  return tokens.expireTimeMs === undefined || tokens.expireTimeMs - Date.now() > marginMs;
}

function endOf(issued: Issued): number | undefined {
  // Counted from now by the token's own lifetime, the end is right even where this machine's clock is wrong. Whether the token is
  // genuine is the server's business.
  try {
    const [, payload = ""] = issued.accessToken.split(".");
    const { exp, iat } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { exp?: number; iat?: number };
    if (exp !== undefined && iat !== undefined) return Date.now() + (exp - iat) * 1000;
  } catch {
    // Not a JWT: what the server said beside it counts.
  }
  return issued.accessTokenExpireTime && timestampMs(issued.accessTokenExpireTime);
}
