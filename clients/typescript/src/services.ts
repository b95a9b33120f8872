/** The contract's services as typed methods. */

import type {
  DescMessage,
  DescMethodServerStreaming,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { createClient, type CallOptions, type Client } from "@connectrpc/connect";

import { once, type Calling } from "./calling.js";

/**
 * The methods of `service`, as the library makes them, but for its streams: those begin when they are iterated, and leaving the
 * iteration ends the call, which the library leaves to a signal.
 */
export function serviceOf<S extends DescService>(service: S, calling: Calling): Client<S> {
  const client = createClient(service, calling);
  for (const method of service.methods) {
    if (method.methodKind === "server_streaming")
      Object.assign(client, { [method.localName]: streaming(calling, method as DescMethodServerStreaming) });
  }
  return client;
}

function streaming<I extends DescMessage, O extends DescMessage>(
  calling: Calling,
  method: DescMethodServerStreaming<I, O>,
) {
  return async function* (
    request: MessageInitShape<I>,
    { signal, timeoutMs, headers, onHeader, onTrailer }: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, undefined> {
    const response = await calling.stream(method, signal, timeoutMs, headers, once(request));
    onHeader?.(response.header);
    yield* response.message;
    onTrailer?.(response.trailer);
    return undefined;
  };
}
