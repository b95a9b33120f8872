/** Reads a stream to its end over as many connections as it takes. */

import { randomUUID } from "node:crypto";

import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

import { repeatable, type CallOptions, type Calling } from "./calling.js";
import { AntiphonError } from "./errors.js";
import { Attempts } from "./retry.js";

/** One call of a stream: which, with what, and what to do with its messages. */
export interface Part<T, I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodServerStreaming<I, O>;
  readonly request: MessageInitShape<I>;
  /** What a message brings that is new; undefined for nothing. */
  take(message: MessageShape<O>): T | undefined;
}

/** How far a stream was read, and how it goes on. */
export interface Reader<T> {
  /** True once everything has come. */
  readonly ended: boolean;
  readonly requestId?: string;
  /** The call that brings what is still missing. */
  next(): Part<T>;
  /** Told that a call has ended well; may set `ended`. */
  drained?(): void;
}

/** What is told before a connection is sought again: why, and which try since something last arrived this will be. */
export interface Reconnect {
  readonly failure: AntiphonError;
  readonly attempt: number;
  readonly pauseMs: number;
}

/** What a caller says about a stream that resumes. */
export interface ResumingOptions extends CallOptions {
  readonly onReconnect?: ((reconnect: Reconnect) => void) | undefined;
}

/** What `reader` reads, each piece once and in order. Leaving the iteration ends the watching. */
export async function* resuming<T>(
  calling: Calling,
  reader: Reader<T>,
  options: ResumingOptions,
): AsyncGenerator<T, undefined> {
  const { method } = reader.next();
  const call = calling.begin(method, reader.requestId ?? randomUUID(), options);
  const attempts = new Attempts(calling.retries, call.deadline, repeatable(method, reader.requestId));
  let rejected = "";
  try {
    while (!reader.ended) {
      let token = "";
      try {
        const part = reader.next();
        const [headers, sent] = await calling.credentials(part.method, call, rejected);
        token = sent;
        const { messages } = await calling.open(part.method, part.request, call, headers);
        for await (const message of messages) {
          const item = part.take(message);
          if (item === undefined) continue;
          attempts.progressed();
          rejected = "";
          yield item;
        }
        reader.drained?.();
        if (!reader.ended) throw new AntiphonError("UNAVAILABLE", "the stream ended before everything had come");
      } catch (failed) {
        const failure = calling.failure(failed, call);
        if (reader.ended) return undefined;
        if (calling.renews(failure, token, rejected)) {
          rejected = token;
          continue;
        }
        const pauseMs = attempts.after(failure);
        options.onReconnect?.({ failure, attempt: attempts.current - 1, pauseMs });
        await call.pause(pauseMs);
      }
    }
    return undefined;
  } finally {
    call.end();
  }
}
