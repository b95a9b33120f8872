/** An answer that is read, across broken connections. */

import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Calling } from "./calling.js";
import { identified } from "./calling.js";
import { AntiphonError } from "./errors.js";
import {
  ChatService,
  StreamChatRequestSchema,
  type ChatEvent,
  type Finished,
  type Started,
} from "./gen/antiphon/chat/v1/chat_pb.js";
import { resuming, type Part, type Reader, type ResumingOptions } from "./resuming.js";

/** Where an answer is gone on with. */
export interface Position {
  readonly generationId: string;
  /** The `seq` of the last event that is known; 0 for the whole record. */
  readonly afterSeq?: bigint | undefined;
  /** Of an anonymous caller's answer. */
  readonly resumeToken?: string | undefined;
}

/**
 * The events of an answer, each once and in order, over as many connections as it takes.
 *
 * It begins when it is iterated, which can be done once. Leaving the iteration ends the watching; what becomes of the generation then is told by its
 * `onDisconnect`.
 */
export class Answer implements AsyncIterable<ChatEvent> {
  readonly #events: AsyncGenerator<ChatEvent, undefined>;
  #seq: bigint;
  #resumeToken: string;
  #generationId: string;
  #reconnects = 0;
  #text = "";
  #started: Started | undefined;
  #finished: Finished | undefined;

  private constructor(
    calling: Calling,
    first: MessageInitShape<typeof StreamChatRequestSchema> | undefined,
    from: Position,
    options: ResumingOptions,
  ) {
    this.#generationId = from.generationId;
    this.#seq = from.afterSeq ?? 0n;
    this.#resumeToken = from.resumeToken ?? "";
    const [request, requestId] = first ? identified(StreamChatRequestSchema, first) : [undefined, ""];
    this.#events = resuming(calling, this.#reader(request, requestId), {
      ...options,
      onReconnect: (reconnect) => {
        this.#reconnects++;
        options.onReconnect?.(reconnect);
      },
    });
  }

  /** An answer that is asked for. */
  static to(
    calling: Calling,
    request: MessageInitShape<typeof StreamChatRequestSchema>,
    options: ResumingOptions,
  ): Answer {
    return new Answer(calling, request, { generationId: "" }, options);
  }

  /** An answer that is gone on with. */
  static from(calling: Calling, position: Position, options: ResumingOptions): Answer {
    return new Answer(calling, undefined, position, options);
  }

  /** The generation; empty until `started` has come. */
  get generationId(): string {
    return this.#generationId;
  }

  /** The last position that was taken; `resume({ generationId, afterSeq: seq })` goes on from there. */
  get seq(): bigint {
    return this.#seq;
  }

  /** What an anonymous caller needs to resume or cancel; empty for others. */
  get resumeToken(): string {
    return this.#resumeToken;
  }

  /** All text that has come. */
  get text(): string {
    return this.#text;
  }

  /** The first event's content, once it has come. */
  get started(): Started | undefined {
    return this.#started;
  }

  /** The last event's content, once it has come. */
  get finished(): Finished | undefined {
    return this.#finished;
  }

  /** How many times the connection was sought again. */
  get reconnects(): number {
    return this.#reconnects;
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatEvent, undefined> {
    return this.#events;
  }

  #reader(first: MessageInitShape<typeof StreamChatRequestSchema> | undefined, requestId: string): Reader<ChatEvent> {
    const resumesAt = first ? undefined : this.#seq;
    let heard = false;
    let nothingLeft = false;
    const take = ({ event }: { event?: ChatEvent }) => {
      heard = true;
      return event && this.#take(event);
    };
    const ended = () => nothingLeft || this.#finished !== undefined;
    return {
      ...(requestId && { requestId }),
      get ended() {
        return ended();
      },
      next: () => {
        heard = false;
        // Until the generation is known that is the first call again: its request_id attaches it to what it began.
        if (first && !this.#generationId)
          return { method: ChatService.method.streamChat, request: first, take } as Part<ChatEvent>;
        const request = { generationId: this.#generationId, afterSeq: this.#seq, resumeToken: this.#resumeToken };
        return { method: ChatService.method.resumeStream, request, take } as Part<ChatEvent>;
      },
      drained: () => {
        // Whoever asks for what comes after the last event is told that nothing does.
        nothingLeft = resumesAt === this.#seq && !heard;
      },
    };
  }

  #take(event: ChatEvent): ChatEvent | undefined {
    if (event.seq <= this.#seq) return undefined;
    if (event.firstSeq !== this.#seq + 1n || event.firstSeq > event.seq) {
      throw new AntiphonError(
        "DATA_LOSS",
        `after position ${this.#seq} came an event that covers ${event.firstSeq} to ${event.seq}`,
        { metadata: { generation_id: this.#generationId, seq: `${this.#seq}` } },
      );
    }
    this.#seq = event.seq;
    const { case: kind, value } = event.event;
    if (kind === "textDelta") this.#text += value.text;
    if (kind === "finished") this.#finished = value;
    if (kind === "started") {
      this.#started = value;
      this.#generationId = value.generationId;
      this.#resumeToken = value.resumeToken || this.#resumeToken;
    }
    return event;
  }
}
