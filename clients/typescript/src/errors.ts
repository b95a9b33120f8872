/** What a failed call tells. */

import { Code, ConnectError } from "@connectrpc/connect";

import { ErrorReason } from "./gen/antiphon/errors/v1/error_reason_pb.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";

const NAMES = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
} as const;

/** The canonical name of a status code. */
export type StatusCode = (typeof NAMES)[Code];

/** A name of antiphon.errors.v1.ErrorReason without its prefix; a newer server may send one that is not known here. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED"> | (string & {});

/** A field, by its path in the request, and what is wrong with it. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** A limit that was reached: for whom, and which. */
export interface Quota {
  readonly subject: string;
  readonly description: string;
}

/** What an error is about: its type, such as `chat.session`, and its id. */
export interface Resource {
  readonly type: string;
  readonly name: string;
}

/** What an AntiphonError is made of. */
export interface ErrorParts {
  readonly reason?: Reason;
  readonly domain?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  readonly retryAfterMs?: number | undefined;
  readonly quotas?: readonly Quota[];
  readonly resource?: Resource | undefined;
  readonly requestId?: string;
  readonly trailers?: Headers;
  readonly cause?: unknown;
}

/** A call that failed. */
export class AntiphonError extends Error {
  override readonly name = "AntiphonError";
  readonly code: StatusCode;
  /** Empty when the failure is not the server's own word, as when the connection broke. */
  readonly reason: Reason | "";
  /** Who gave the reason: `antiphon`, or empty. */
  readonly domain: string;
  /** Strings that belong to the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that break their rules. */
  readonly violations: readonly Violation[];
  /** When the server asks to be called again; undefined when it does not. */
  readonly retryAfterMs: number | undefined;
  /** The limits that were reached. */
  readonly quotas: readonly Quota[];
  /** What was not found, or exists already. */
  readonly resource: Resource | undefined;
  /** Finds the call in the server's log. */
  readonly requestId: string;
  /** How many times the call was tried. */
  tries = 1;
  // Private, so that an error that nobody catches is printed without them.
  readonly #trailers: Headers;

  constructor(code: StatusCode, message: string, parts: ErrorParts = {}) {
    super(message, parts.cause === undefined ? {} : { cause: parts.cause });
    this.code = code;
    this.reason = parts.reason ?? "";
    this.domain = parts.domain ?? "";
    this.metadata = parts.metadata ?? {};
    this.violations = parts.violations ?? [];
    this.retryAfterMs = parts.retryAfterMs;
    this.quotas = parts.quotas ?? [];
    this.resource = parts.resource;
    this.requestId = parts.requestId ?? "";
    this.#trailers = parts.trailers ?? new Headers();
  }

  /** The response's headers and trailers together: the library does not tell them apart when a call fails. */
  get trailers(): Headers {
    return this.#trailers;
  }

  override toString(): string {
    return `${this.message} (${this.code}${this.reason && `, ${this.reason}`})`;
  }
}

// How the library names what happens to a connection; the server's own statuses come with `grpc-status`.
const BROKEN = new Set([Code.Canceled, Code.Unknown, Code.Aborted]);

/** The error of a call to `target`; `cancelled`: the caller has ended it; `mute`: the server has not answered plain text in HTTP/2. */
export function errorOf(failed: unknown, target: string, cancelled: boolean, mute: boolean): AntiphonError {
  if (failed instanceof AntiphonError) return failed;
  const error = ConnectError.from(failed, Code.Internal);
  const [info] = error.findDetails(ErrorInfoSchema);
  // A server that stops cancels what it has not finished, which is no word of its own about the call.
  const told = error.metadata.has("grpc-status") && (error.code !== Code.Canceled || !!info);
  if (cancelled && !told) return new AntiphonError("CANCELLED", "the call was cancelled");
  const [retry] = error.findDetails(RetryInfoSchema);
  const [about] = error.findDetails(ResourceInfoSchema);
  let code: StatusCode = NAMES[error.code];
  let message = error.rawMessage;
  if (
    !told &&
    (BROKEN.has(error.code) ||
      // A stream that is refused has not reached the server, which is closing the connection.
      /missing (status|output message)|REFUSED_STREAM/.test(message) ||
      ofTheSystem(error.cause))
  ) {
    code = "UNAVAILABLE";
  }
  if (!told && code === "UNAVAILABLE") {
    const { cause } = error;
    if (codeOf(cause) === "ERR_SSL_WRONG_VERSION_NUMBER") message = "it does not speak TLS";
    // An alert, around whose text OpenSSL has addresses and files of its own.
    else if (codeOf(cause)?.startsWith("ERR_SSL_")) message = String((cause as { reason?: string }).reason ?? message);
    else if (mute) message = "it does not speak HTTP/2 in plain text; does it want TLS?";
    message = `${target} can't be reached: ${message}`;
  }
  if (!told && code === "DEADLINE_EXCEEDED") message = `${target} did not answer in time`;
  const delay = retry?.retryDelay;
  return new AntiphonError(code, message, {
    reason: info?.reason ?? "",
    domain: info?.domain ?? "",
    metadata: info?.metadata ?? {},
    violations: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations.map(({ field, description }) => ({ field, description }))),
    retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    quotas: error
      .findDetails(QuotaFailureSchema)
      .flatMap((quota) => quota.violations.map(({ subject, description }) => ({ subject, description }))),
    resource: about && { type: about.resourceType, name: about.resourceName },
    requestId: error.metadata.get("x-request-id") ?? info?.metadata["request_id"] ?? "",
    trailers: error.metadata,
    // What lies below the library's error, whose own words are all told here.
    cause: error.cause,
  });
}

// Such as a certificate that is not trusted, which the library takes for a fault of its own. A reset of one stream is none of these.
function ofTheSystem(cause: unknown): boolean {
  return ![undefined, "ERR_HTTP2_STREAM_ERROR"].includes(codeOf(cause));
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
}
