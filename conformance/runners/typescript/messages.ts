/** Methods by their names, and messages as proto3 JSON. */

import { AnalyticsService } from "@antiphon/client/gen/antiphon/analytics/v1/analytics_pb";
import { ApiKeyService } from "@antiphon/client/gen/antiphon/auth/v1/api_key_pb";
import { AuthService } from "@antiphon/client/gen/antiphon/auth/v1/auth_pb";
import { ChatService } from "@antiphon/client/gen/antiphon/chat/v1/chat_pb";
import { ImageService } from "@antiphon/client/gen/antiphon/image/v1/image_pb";
import { SpeechService } from "@antiphon/client/gen/antiphon/speech/v1/speech_pb";
import {
  fromJson,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type JsonObject,
  type MessageInitShape,
} from "@bufbuild/protobuf";

export type Unary = DescMethodUnary<DescMessage, DescMessage>;
export type Streaming = DescMethodServerStreaming<DescMessage, DescMessage>;

const SERVICES = [AnalyticsService, ApiKeyService, AuthService, ChatService, ImageService, SpeechService];

/** A method such as `antiphon.chat.v1.ChatService/Chat`. */
export function methodOf(path: string): Unary | Streaming {
  const [service, name] = path.split("/");
  const found = SERVICES.find((each) => each.typeName === service)?.methods.find((each) => each.name === name);
  if (!found) throw new TypeError(`there is no method ${path}`);
  return found as Unary | Streaming;
}

/** The request as a literal, so that a `request_id` that is given and empty stays so. */
export function requestOf<I extends DescMessage>(schema: I, json: JsonObject = {}): MessageInitShape<I> {
  const message = fromJson(schema, json);
  if (json["request_id"] !== "" && json["requestId"] !== "") return message as MessageInitShape<I>;
  const { $typeName: _, ...literal } = message;
  return literal as unknown as MessageInitShape<I>;
}
