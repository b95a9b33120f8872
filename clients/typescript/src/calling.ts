/** How calls are made: credentials, request ids, and the one retry loop, above the library's transport. */

import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import {
  create,
  getOption,
  isMessage,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodStreaming,
  type DescMethodUnary,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { AntiphonError, errorOf } from "./errors.js";
import { AuthService } from "./gen/antiphon/auth/v1/auth_pb.js";
import { Access, policy } from "./gen/antiphon/options/v1/policy_pb.js";
import { addressOf, retriesOf, timeoutsOf, type ClientOptions, type Retries, type Timeouts } from "./options.js";
import { Attempts, Deadline, RENEWS } from "./retry.js";
import { Session } from "./session.js";
import { LoginSession } from "./tokens.js";

const WAITS_FOR_AN_ANSWER = new Set(["Chat", "GenerateImage", "Synthesize", "Reconcile"]);
// What a provider was asked for in vain is not asked for again: the server has tried as often as helps, and each time may have its price.
const PROVIDER_WAS_ASKED = /^(PROVIDER_|IMAGE_UNUSABLE|IMAGES_NOT_STORED|AUDIO_UNUSABLE|AUDIO_NOT_STORED)/;
const ASKS_A_PROVIDER = new Set(["GenerateImage", "Synthesize", "StreamSynthesize"]);
const REFRESH_TIMEOUT_MS = 30_000;
// What `grpc-timeout` has digits for, and timers too; 27 hours.
const LONGEST_TIMEOUT_MS = 99_999_999;

/** What `Headers` is made of. */
export type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** What a caller says about a call. */
export interface CallOptions {
  /** Ends the call: it fails with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** For the whole call, tries and pauses included; 0 for no limit. */
  readonly timeoutMs?: number | undefined;
  /** Metadata that travels beside the request. */
  readonly headers?: HeadersInit | undefined;
}

/** One call under way: what ends it, and what travels beside its request. */
export class Call {
  readonly #controller = new AbortController();
  readonly #unlink: () => void;
  readonly deadline: Deadline;

  constructor(
    private readonly calling: Calling,
    readonly headers: Headers,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ) {
    this.deadline = new Deadline(timeoutMs);
    const abort = () => this.#controller.abort();
    if (signal?.aborted) abort();
    // Any number of calls may share one.
    if (signal) setMaxListeners(0, signal);
    signal?.addEventListener("abort", abort);
    this.#unlink = () => signal?.removeEventListener("abort", abort);
    calling.underWay.add(this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends what is still under way of it. */
  end(): void {
    this.#unlink();
    this.calling.underWay.delete(this);
    this.#controller.abort();
  }

  /** Milliseconds that a try may take; undefined for no limit. Throws when none are left, or the call was ended. */
  remaining(): number | undefined {
    if (this.signal.aborted) throw this.#ended();
    const remaining = this.deadline.remaining();
    if (remaining <= 0) throw this.#ended();
    return remaining > LONGEST_TIMEOUT_MS ? undefined : Math.ceil(remaining);
  }

  /** What `begin` brings, unless the call ends before. */
  async before<T>(begin: () => Promise<T>): Promise<T> {
    const remaining = this.remaining();
    let timer: NodeJS.Timeout | undefined;
    let end = () => {};
    const ended = new Promise<never>((_, reject) => {
      end = () => reject(this.#ended());
      this.signal.addEventListener("abort", end);
      if (remaining !== undefined) timer = setTimeout(end, remaining);
    });
    try {
      return await Promise.race([begin(), ended]);
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", end);
    }
  }

  /** Waits, unless the call ends before. */
  async pause(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: this.signal });
    } catch {
      throw this.#ended();
    }
  }

  #ended(): AntiphonError {
    if (this.signal.aborted) return new AntiphonError("CANCELLED", "the call was cancelled");
    return new AntiphonError("DEADLINE_EXCEEDED", `${this.calling.target} did not answer in time`);
  }
}

/** The transport of a client: typed clients of connect can be made over it. */
export class Calling implements Transport {
  readonly target: string;
  readonly retries: Retries;
  readonly login: LoginSession;
  readonly underWay = new Set<Call>();
  readonly #timeouts: Timeouts;
  readonly #session: Session;
  readonly #transport: Transport;
  #closed = false;

  constructor(server: string, options: ClientOptions) {
    const { url, tls } = addressOf(server, options.tls);
    this.target = server;
    this.retries = retriesOf(options.retries);
    this.#timeouts = timeoutsOf(options.timeouts);
    this.#session = new Session(url, tls, options.keepaliveMs ?? 30_000);
    this.#transport = createGrpcTransport({
      baseUrl: url,
      sessionManager: this.#session,
      readMaxBytes: options.maxMessageBytes ?? 64 * 1024 * 1024,
    });
    const { token = "", refreshToken = "" } = options;
    if (/[^\x21-\x7e]/.test(token)) throw new TypeError("a token has no characters but printable ASCII");
    this.login = new LoginSession(
      token || refreshToken ? { accessToken: token, refreshToken } : undefined,
      (refreshed) => this.#refresh(refreshed),
      options.onTokens ?? (() => {}),
    );
  }

  /** Ends the connection, and every call that is under way. */
  close(): void {
    this.#closed = true;
    for (const call of this.underWay) call.end();
    this.#session.abort();
  }

  /** Begins a call of `method`: `call.end()` has to follow. */
  begin(method: DescMethod, requestId: string, options: CallOptions): Call {
    if (this.#closed) throw new AntiphonError("CANCELLED", "the client is closed");
    const { unaryMs, answerMs, streamMs } = this.#timeouts;
    const timeoutMs =
      method.methodKind !== "unary" ? streamMs : WAITS_FOR_AN_ANSWER.has(method.name) ? answerMs : unaryMs;
    const headers = new Headers(options.headers);
    if (!headers.has("x-request-id")) headers.set("x-request-id", requestId || randomUUID());
    if (!headers.has("user-agent")) headers.set("user-agent", "antiphon-typescript");
    return new Call(this, headers, options.timeoutMs ?? timeoutMs, options.signal);
  }

  /** The response, after as many tries as are safe. Throws AntiphonError. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O> & { tries: number }> {
    const [request, requestId] = identified(method.input, input);
    const call = this.begin(method, requestId, { signal, timeoutMs, headers });
    try {
      return await this.#tried(method, requestId, call, async (sent) => {
        try {
          return await this.#transport.unary(method, call.signal, call.remaining(), sent, request);
        } catch (failed) {
          throw this.failure(failed, call);
        }
      });
    } finally {
      call.end();
    }
  }

  /** What the server streams, after as many tries as are safe until its first message; who wants more resumes by what the contract has for it. */
  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ): Promise<StreamResponse<I, O> & { tries: number }> {
    if (method.methodKind !== "server_streaming") throw new TypeError("the contract has no streams of requests");
    const [request, requestId] = identified(method.input, await only(input));
    const call = this.begin(method, requestId, { signal, timeoutMs, headers });
    try {
      return await this.#tried(method, requestId, call, async (sent) => {
        const { response, messages } = await this.open(method, request, call, sent);
        const first = await messages.next();
        return { ...response, message: rest(first, messages, call) };
      });
    } catch (failure) {
      call.end();
      throw failure;
    }
  }

  /** Opens a stream once. `call.end()` ends it. */
  async open<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    call: Call,
    headers: Headers,
  ): Promise<{ response: StreamResponse<I, O>; messages: AsyncGenerator<MessageShape<O>, undefined> }> {
    const fail = (failed: unknown) => this.failure(failed, call);
    const { signal } = call;
    try {
      const response = await this.#transport.stream(method, signal, call.remaining(), headers, once(request));
      return { response, messages: relayed(response.message, fail) };
    } catch (failed) {
      throw fail(failed);
    }
  }

  /** The headers of a try: with the caller's token, which is none for an RPC that looks at none. */
  async credentials(method: DescMethod, call: Call, rejected: string): Promise<[Headers, string]> {
    const headers = new Headers(call.headers);
    if (headers.has("authorization") || getOption(method, policy).access === Access.PUBLIC) return [headers, ""];
    const token = this.login.current(rejected) ?? (await call.before(() => this.login.token(rejected)));
    if (token) headers.set("authorization", `Bearer ${token}`);
    return [headers, token];
  }

  /** What a call failed with. */
  failure(failed: unknown, call: Call): AntiphonError {
    return errorOf(failed, this.target, call.signal.aborted, this.#session.mute);
  }

  /** Whether a renewal may help a call that `failure` met with `token`, which it does once. */
  renews(failure: AntiphonError, token: string, rejected: string): boolean {
    return RENEWS.has(failure.reason) && token !== "" && !rejected && !!this.login.tokens?.refreshToken;
  }

  async #tried<T extends { message: unknown }>(
    method: DescMethod,
    requestId: string,
    call: Call,
    once: (headers: Headers) => Promise<T>,
  ): Promise<T & { tries: number }> {
    const final = ASKS_A_PROVIDER.has(method.name) ? PROVIDER_WAS_ASKED : undefined;
    const attempts = new Attempts(this.retries, call.deadline, repeatable(method, requestId), final);
    let rejected = "";
    for (;;) {
      let token = "";
      try {
        const [headers, sent] = await this.credentials(method, call, rejected);
        token = sent;
        return { ...(await once(headers)), tries: attempts.current };
      } catch (failed) {
        const failure = this.failure(failed, call);
        if (this.renews(failure, token, rejected)) {
          rejected = token;
          continue;
        }
        if (method.name.startsWith("Delete") && attempts.deleted(failure)) {
          return { ...emptied(method), tries: attempts.current } as unknown as T & { tries: number };
        }
        await call.pause(attempts.after(failure));
      }
    }
  }

  async #refresh(refreshToken: string) {
    // One try: whoever needs the tokens has a retry loop already.
    const method = AuthService.method.refreshToken;
    const call = this.begin(method, "", { timeoutMs: REFRESH_TIMEOUT_MS });
    try {
      const { signal, headers } = call;
      return (await this.#transport.unary(method, signal, REFRESH_TIMEOUT_MS, headers, { refreshToken })).message;
    } catch (failed) {
      throw this.failure(failed, call);
    } finally {
      call.end();
    }
  }
}

/** The request with the `request_id` that its tries share, made where the caller gave none; an empty text in a literal means none. */
export function identified<I extends DescMessage>(
  schema: I,
  input: MessageInitShape<I>,
): [MessageInitShape<I>, requestId: string] {
  if (!schema.field["requestId"]) return [input, ""];
  const given = (input as { requestId?: string }).requestId;
  if (given || (given === "" && !isMessage(input as Message))) return [input, given];
  const requestId = randomUUID();
  return [{ ...input, requestId }, requestId];
}

/** Whether a second try does nothing twice: where that is the `request_id`'s doing, it takes one. */
export function repeatable(method: DescMethod, requestId: string | undefined): boolean {
  return getOption(method, policy).idempotent && (!method.input.field["requestId"] || !!requestId);
}

function emptied(method: DescMethod) {
  const { parent: service } = method;
  const message = create(method.output);
  return { stream: false, service, method, header: new Headers(), trailer: new Headers(), message };
}

async function only<T>(input: AsyncIterable<T>): Promise<T> {
  for await (const item of input) return item;
  throw new TypeError("a request is missing");
}

/** One request, as streams of requests are made. */
export async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}

async function* relayed<T>(
  messages: AsyncIterable<T>,
  fail: (failed: unknown) => AntiphonError,
): AsyncGenerator<T, undefined> {
  try {
    yield* messages;
    return undefined;
  } catch (failed) {
    throw fail(failed);
  }
}

async function* rest<T>(
  first: IteratorResult<T, undefined>,
  messages: AsyncGenerator<T, undefined>,
  call: Call,
): AsyncGenerator<T> {
  try {
    if (first.done) return;
    yield first.value;
    yield* messages;
  } finally {
    call.end();
  }
}
