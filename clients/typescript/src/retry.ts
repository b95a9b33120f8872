/** When a failed call is tried again, and after what pause. Decides; never waits. */

import type { AntiphonError, StatusCode } from "./errors.js";
import type { Retries } from "./options.js";

/** Why a token is refused that a renewal may help with: a role may have changed, or a signing key have been dropped. */
export const RENEWS: ReadonlySet<string> = new Set(["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REVOKED"]);

// These end a generation. One whose events have begun to arrive can't be begun anew beneath its reader.
const ENDS_A_GENERATION: ReadonlySet<string> = new Set([
  "GENERATION_INTERRUPTED",
  "PROVIDER_PROTOCOL",
  "PROVIDER_RATE_LIMITED",
  "PROVIDER_TIMEOUT",
  "PROVIDER_UNAVAILABLE",
  "TOO_LONG",
]);
const ASKS_TO_COME_AGAIN: ReadonlySet<StatusCode> = new Set(["RESOURCE_EXHAUSTED", "ABORTED", "UNAVAILABLE"]);

/** The end of a call's time, tries and pauses included. */
export class Deadline {
  readonly #end: number;

  /** 0 is no limit. */
  constructor(timeoutMs: number) {
    this.#end = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
  }

  /** Milliseconds left; Infinity for no limit. */
  remaining(): number {
    return this.#end - performance.now();
  }
}

/** The tries of one call, or of a stream since something last arrived. */
export class Attempts {
  #failed = 0;
  #begun = false;
  #mayBeDone = false;

  /** `final` matches reasons that no try follows. A stream that has begun is gone on with, `repeatable` or not. */
  constructor(
    private readonly retries: Retries,
    private readonly deadline: Deadline,
    private readonly repeatable: boolean,
    private readonly final?: RegExp,
  ) {}

  /** Which try this is, counted from 1. */
  get current(): number {
    return this.#failed + 1;
  }

  /** Something new has arrived, so the count begins anew. */
  progressed(): void {
    this.#failed = 0;
    this.#begun = true;
  }

  /** The pause before the next try, in milliseconds. Throws `failure` when there is none. */
  after(failure: AntiphonError): number {
    const limit = this.#begun ? this.retries.resumeAttempts : this.retries.attempts;
    this.#failed++;
    failure.tries = this.#failed;
    if (!(this.repeatable || this.#begun) || this.#failed >= limit || !this.#mayPass(failure)) throw failure;
    const { firstDelayMs, maxDelayMs } = this.retries;
    let pause = Math.min(firstDelayMs * 2 ** (this.#failed - 1), maxDelayMs) * (1 - Math.random() / 2);
    pause = Math.max(pause, failure.retryAfterMs ?? 0);
    if (this.deadline.remaining() <= pause) throw failure;
    // A limit is told before anything is done; of every other failure that may pass the server may have done its part.
    this.#mayBeDone ||= failure.code !== "RESOURCE_EXHAUSTED";
    return pause;
  }

  /** Whether a call that deletes something has done so: it is gone, and an earlier try, whose answer got lost, may be why. */
  deleted(failure: AntiphonError): boolean {
    return this.#mayBeDone && failure.code === "NOT_FOUND";
  }

  #mayPass(failure: AntiphonError): boolean {
    const { code, reason, retryAfterMs } = failure;
    if (this.final?.test(reason)) return false;
    if (retryAfterMs !== undefined && retryAfterMs > this.retries.maxDelayMs) return false;
    // Of a stream that has begun, a reset with another code is a broken connection, too.
    if (!reason) return code === "UNAVAILABLE" || (this.#begun && (code === "INTERNAL" || code === "UNKNOWN"));
    if (this.#begun && ENDS_A_GENERATION.has(reason)) return false;
    return code === "UNAVAILABLE" || (retryAfterMs !== undefined && ASKS_TO_COME_AGAIN.has(code));
  }
}
