/** What the driver can tell the runner to do. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { Client, Download, pages, type Answer, type TLS } from "@antiphon/client";
import { UserSchema } from "@antiphon/client/gen/antiphon/auth/v1/auth_pb";
import { ChatEventSchema, StreamChatRequestSchema } from "@antiphon/client/gen/antiphon/chat/v1/chat_pb";
import { toJson, type JsonObject, type JsonValue, type Message } from "@bufbuild/protobuf";

import { methodOf, requestOf, type Streaming, type Unary } from "./messages.js";
import { outcome, shown, type Outcome } from "./outcome.js";

/** A line of the driver: the fields are those of its op. */
export interface Request {
  readonly id: number;
  readonly op: string;
  readonly target?: number;
  readonly client: string;
  readonly address: string;
  readonly tls?: {
    ca: string;
    certificate?: string;
    key?: string;
    server_name?: string;
  };
  readonly token?: string;
  readonly refresh_token?: string;
  readonly retries?: number;
  readonly email: string;
  readonly password: string;
  readonly method: string;
  readonly request?: JsonObject;
  readonly deadline_ms?: number;
  readonly metadata?: Record<string, string>;
  readonly take?: number;
  readonly generation_id: string;
  readonly after_seq?: number | string;
  readonly resume_token?: string;
  readonly items: string;
  readonly kind: string;
  readonly seconds: number;
  readonly concurrency: number;
}

type Op = (asked: Request, signal: AbortSignal, tell: (event: JsonValue) => void) => object | Promise<object>;

const DEADLINE_MS = 60_000;
const WORDS = Array(200).fill("word").join(" ");
const clients = new Map<string, Client>();

/** The result of an op. Throws when the runner is at fault. */
export async function perform(asked: Request, ...rest: Parameters<Op> extends [Request, ...infer R] ? R : never) {
  const op = OPS[asked.op];
  if (!op) throw new TypeError(`there is no op ${asked.op}`);
  return op(asked, ...rest);
}

const OPS: Record<string, Op> = {
  hello: () => ({ language: "typescript", version: process.versions.node }),
  ping: () => ({}),
  open: (asked) => {
    clients.get(asked.client)?.close();
    const { token, refresh_token: refreshToken, retries } = asked;
    const client = new Client(asked.address, {
      ...(asked.tls && { tls: filesOf(asked.tls) }),
      ...(token && { token }),
      ...(refreshToken && { refreshToken }),
      ...(retries && {
        retries: { attempts: retries, resumeAttempts: retries },
      }),
    });
    clients.set(asked.client, client);
    return {};
  },
  close: (asked) => {
    clients.get(asked.client)?.close();
    clients.delete(asked.client);
    return {};
  },
  login: (asked, signal) =>
    outcome(async () => ({
      user: toJson(UserSchema, await clientOf(asked).login(asked.email, asked.password, { signal })),
    })),
  token: async (asked) => ({
    access_token: await clientOf(asked).accessToken(),
  }),
  call: (asked, signal) =>
    outcome(async () => {
      const method = methodOf(asked.method) as Unary;
      const request = requestOf(method.input, asked.request);
      const { timeoutMs, headers } = callOptions(asked);
      const response = await clientOf(asked).transport.unary(method, signal, timeoutMs, headers, request);
      return {
        response: toJson(method.output, response.message),
        headers: shown(response.header),
        trailers: shown(response.trailer),
        tries: response.tries,
      };
    }),
  stream: (asked, signal, tell) => {
    let count = 0;
    return outcome(
      async () => {
        const method = methodOf(asked.method) as Streaming;
        const request = requestOf(method.input, asked.request);
        const { timeoutMs, headers } = callOptions(asked);
        const { transport } = clientOf(asked);
        const response = await transport.stream(method, signal, timeoutMs, headers, once(request));
        for await (const message of response.message) {
          tell(toJson(method.output, message));
          if (++count === asked.take) break;
        }
        return {
          headers: shown(response.header),
          trailers: shown(response.trailer),
          tries: response.tries,
        };
      },
      () => ({ count }),
    );
  },
  answer: (asked, signal, tell) => {
    const request = requestOf(StreamChatRequestSchema, asked.request);
    return events(asked, clientOf(asked).answer(request, { signal, ...callOptions(asked) }), tell);
  },
  resume: (asked, signal, tell) => {
    const { generation_id: generationId, after_seq: afterSeq = 0, resume_token: resumeToken = "" } = asked;
    const position = { generationId, afterSeq: BigInt(afterSeq), resumeToken };
    return events(asked, clientOf(asked).resume(position, { signal, ...callOptions(asked) }), tell);
  },
  pages: (asked, signal) => {
    const items: JsonValue[] = [];
    let count = 0;
    let tries = 0;
    return outcome(
      async () => {
        const method = methodOf(asked.method) as Unary;
        const { transport } = clientOf(asked);
        const { timeoutMs, headers } = callOptions(asked);
        const list = async (request: Record<string, unknown>) => {
          const response = await transport.unary(method, signal, timeoutMs, headers, request);
          tries += response.tries;
          return response.message as Page;
        };
        for await (const page of pages(list, requestOf(method.input, asked.request) as Record<string, unknown>)) {
          count++;
          items.push(...((toJson(method.output, page) as Record<string, JsonValue[]>)[asked.items] ?? []));
        }
        return {};
      },
      () => ({ items, pages: count, tries }),
    );
  },
  download: (asked, signal) => {
    let tries = 1;
    return outcome(
      async () => {
        const method = methodOf(asked.method) as Streaming;
        const options = { signal, ...callOptions(asked), onReconnect: () => void tries++ };
        const download = new Download(
          clientOf(asked).transport,
          method,
          requestOf(method.input, asked.request),
          options,
        );
        const digest = createHash("sha256");
        let bytes = 0;
        for await (const chunk of download) {
          digest.update(chunk);
          bytes += chunk.length;
        }
        const { sha256: told_sha256, contentType: content_type } = download;
        return { bytes, sha256: digest.digest("hex"), told_sha256, content_type };
      },
      () => ({ tries }),
    );
  },
  bench: async (asked) => {
    const client = clientOf(asked);
    const began = performance.now();
    const end = began + asked.seconds * 1000;
    let count = 0;
    const unary = async () => {
      for (; performance.now() < end; count++) await client.auth.getProfile({});
    };
    const stream = async () => {
      while (performance.now() < end) {
        for await (const _ of client.answer({
          input: { case: "message", value: WORDS },
          model: "echo",
        })) {
          count++;
          if (performance.now() >= end) break;
        }
      }
    };
    await Promise.all(Array.from({ length: asked.concurrency }, asked.kind === "unary" ? unary : stream));
    return { count, seconds: (performance.now() - began) / 1000 };
  },
};

type Page = Message & { nextPageToken: string };

async function events(asked: Request, answer: Answer, tell: (event: JsonValue) => void): Promise<Outcome> {
  let count = 0;
  return outcome(
    async () => {
      for await (const event of answer) {
        tell(toJson(ChatEventSchema, event));
        if (++count === asked.take) break;
      }
      return {};
    },
    () => ({ text: answer.text, count, reconnects: answer.reconnects, tries: answer.reconnects + 1 }),
  );
}

function clientOf(asked: Request): Client {
  const client = clients.get(asked.client);
  if (!client) throw new TypeError(`there is no client ${asked.client}`);
  return client;
}

function callOptions(asked: Request) {
  return {
    timeoutMs: asked.deadline_ms ?? DEADLINE_MS,
    headers: asked.metadata ?? {},
  };
}

function filesOf(tls: NonNullable<Request["tls"]>): TLS {
  return {
    ca: readFileSync(tls.ca),
    ...(tls.certificate && { certificate: readFileSync(tls.certificate) }),
    ...(tls.key && { key: readFileSync(tls.key) }),
    ...(tls.server_name && { serverName: tls.server_name }),
  };
}

async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}
