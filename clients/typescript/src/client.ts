/** A client of one server. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client as ServiceClient } from "@connectrpc/connect";

import { Answer, type Position } from "./answer.js";
import { Calling, type CallOptions } from "./calling.js";
import { Download } from "./download.js";
import { AnalyticsService } from "./gen/antiphon/analytics/v1/analytics_pb.js";
import { ApiKeyService } from "./gen/antiphon/auth/v1/api_key_pb.js";
import { AuthService, type User } from "./gen/antiphon/auth/v1/auth_pb.js";
import { ChatService, type StreamChatRequestSchema } from "./gen/antiphon/chat/v1/chat_pb.js";
import { ImageService, type DownloadImageRequestSchema } from "./gen/antiphon/image/v1/image_pb.js";
import { SpeechService, type DownloadAudioRequestSchema } from "./gen/antiphon/speech/v1/speech_pb.js";
import type { ClientOptions } from "./options.js";
import type { ResumingOptions } from "./resuming.js";
import { serviceOf } from "./services.js";
import type { Tokens } from "./tokens.js";

/**
 * Calls one server. Its services have the contract's RPCs as methods, typed; all of them send the caller's token, renew it, are
 * tried again where that is safe, and throw AntiphonError.
 */
export class Client {
  readonly auth: ServiceClient<typeof AuthService>;
  readonly apiKeys: ServiceClient<typeof ApiKeyService>;
  readonly chat: ServiceClient<typeof ChatService>;
  readonly image: ServiceClient<typeof ImageService>;
  readonly speech: ServiceClient<typeof SpeechService>;
  readonly analytics: ServiceClient<typeof AnalyticsService>;
  /** What the services are called through; connect's `createClient` makes others over it. */
  readonly transport: Calling;

  /**
   * `server` is `host:port`, `http://host:port` or `https://host:port`. Without a scheme, loopback is spoken to in plain text and
   * everything else over TLS. The connection is opened by the first call.
   */
  constructor(server: string, options: ClientOptions = {}) {
    this.transport = new Calling(server, options);
    this.auth = serviceOf(AuthService, this.transport);
    this.apiKeys = serviceOf(ApiKeyService, this.transport);
    this.chat = serviceOf(ChatService, this.transport);
    this.image = serviceOf(ImageService, this.transport);
    this.speech = serviceOf(SpeechService, this.transport);
    this.analytics = serviceOf(AnalyticsService, this.transport);
  }

  /** Logs in; from now on calls carry an access token, which is renewed by itself. Never tried twice. */
  async login(email: string, password: string, options: CallOptions & { deviceName?: string } = {}): Promise<User> {
    const { deviceName, ...call } = options;
    const response = await this.auth.login({ email, password, ...(deviceName && { deviceName }) }, defined(call));
    this.transport.login.keep(response);
    return response.user!;
  }

  /** Revokes the login session; the client is anonymous then. Where that fails, it goes on as it was. */
  async logout(options: CallOptions = {}): Promise<void> {
    await this.transport.login.end((refreshToken) => this.auth.logout({ refreshToken }, defined(options)));
  }

  /** The access token, renewed when it is about to end; empty for anonymous callers. */
  accessToken(): Promise<string> {
    return this.transport.login.token("");
  }

  /** The tokens as they are. */
  get tokens(): Tokens | undefined {
    return this.transport.login.tokens;
  }

  /** StreamChat as one stream of events that resumes by itself when the connection breaks. */
  answer(request: MessageInitShape<typeof StreamChatRequestSchema>, options: ResumingOptions = {}): Answer {
    return Answer.to(this.transport, request, options);
  }

  /** The events of a generation after a position, resuming in the same way. */
  resume(position: Position, options: ResumingOptions = {}): Answer {
    return Answer.from(this.transport, position, options);
  }

  /** The bytes of an image, checked. */
  downloadImage(request: MessageInitShape<typeof DownloadImageRequestSchema>, options: ResumingOptions = {}): Download {
    return new Download(this.transport, ImageService.method.downloadImage, request, options);
  }

  /** The bytes of a conversion's audio, checked. */
  downloadAudio(request: MessageInitShape<typeof DownloadAudioRequestSchema>, options: ResumingOptions = {}): Download {
    return new Download(this.transport, SpeechService.method.downloadAudio, request, options);
  }

  /** Ends the connection, and every call that is under way: they fail with CANCELLED. */
  close(): void {
    this.transport.close();
  }
}

function defined({ signal, timeoutMs, headers }: CallOptions) {
  return { ...(signal && { signal }), ...(timeoutMs !== undefined && { timeoutMs }), ...(headers && { headers }) };
}
