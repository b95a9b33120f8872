/** A file that is downloaded, across broken connections. */

import { createHash } from "node:crypto";

import type { DescMessage, DescMethodServerStreaming, MessageInitShape } from "@bufbuild/protobuf";

import type { Calling } from "./calling.js";
import { AntiphonError } from "./errors.js";
import { resuming, type Part, type Reader, type ResumingOptions } from "./resuming.js";

interface Piece {
  readonly chunk: Uint8Array;
  readonly sha256: string;
  readonly contentType: string;
  readonly totalBytes: bigint;
}

/**
 * The bytes of an image or of audio, in chunks of at most 64 KiB. They are whole, and their digest is right, when the iteration
 * ends; else that throws an AntiphonError, DATA_LOSS where what came is not what the server says it is. It can be iterated once.
 */
export class Download implements AsyncIterable<Uint8Array> {
  readonly #chunks: AsyncGenerator<Uint8Array, undefined>;
  readonly #digest = createHash("sha256");
  #size = 0;
  #arrived = 0;
  #contentType = "";
  #totalBytes = 0;
  #sha256 = "";

  constructor(
    calling: Calling,
    method: DescMethodServerStreaming<DescMessage, DescMessage>,
    request: MessageInitShape<DescMessage>,
    options: ResumingOptions,
  ) {
    this.#chunks = resuming(calling, this.#reader(method, request), options);
  }

  /** Such as `image/png`; empty until the first bytes have come. */
  get contentType(): string {
    return this.#contentType;
  }

  /** How many bytes it has; 0 until the first ones have come. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** The digest of the whole, in lower-case hexadecimal digits, once it has come and was found right; empty before. */
  get sha256(): string {
    return this.#sha256;
  }

  /** All bytes together. */
  async bytes(): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this.#chunks;
  }

  #reader(
    method: DescMethodServerStreaming<DescMessage, DescMessage>,
    request: MessageInitShape<DescMessage>,
  ): Reader<Uint8Array> {
    const ended = () => this.#sha256 !== "";
    return {
      get ended() {
        return ended();
      },
      next: (): Part<Uint8Array> => {
        // Each call brings the same bytes from the beginning; those that are known are passed over.
        this.#arrived = 0;
        return { method, request, take: (piece) => this.#take(piece as unknown as Piece) };
      },
    };
  }

  #take(piece: Piece): Uint8Array | undefined {
    const announced = Number(piece.totalBytes);
    this.#contentType ||= piece.contentType;
    this.#totalBytes ||= announced;
    const fresh = piece.chunk.subarray(Math.max(0, this.#size - this.#arrived));
    this.#arrived += piece.chunk.length;
    this.#digest.update(fresh);
    this.#size += fresh.length;
    if (this.#arrived > this.#totalBytes || (announced && announced !== this.#totalBytes))
      throw this.#ofAnotherLength();
    if (piece.sha256) this.#finish(piece.sha256);
    return fresh.length ? fresh : undefined;
  }

  #finish(told: string): void {
    if (this.#arrived !== this.#totalBytes) throw this.#ofAnotherLength();
    if (told !== this.#digest.digest("hex")) throw broken("its SHA-256 is not the one that the server tells");
    this.#sha256 = told;
  }

  #ofAnotherLength(): AntiphonError {
    return broken(`it is not the ${this.#totalBytes} bytes that were announced`);
  }
}

function broken(how: string): AntiphonError {
  return new AntiphonError("DATA_LOSS", `the download is broken: ${how}`);
}
