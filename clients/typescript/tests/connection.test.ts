// What becomes of calls when a connection ends in ways that the proxy of the conformance cases has not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Server } from "node:http2";
import { createServer as createListener, type AddressInfo, type Server } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AntiphonError, Client } from "@antiphon/client";
import { AnalyticsService } from "@antiphon/client/gen/antiphon/analytics/v1/analytics_pb";
import { AuthService } from "@antiphon/client/gen/antiphon/auth/v1/auth_pb";

const ONCE = { retries: { attempts: 1 } };

async function addressOf(server: Http2Server | Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "OK",
    (failed: unknown) => (failed instanceof AntiphonError ? failed.code : String(failed)),
  );
}

for (const [how, arrange] of [
  ["closes the connection before the call", (server) => server.on("session", (session) => session.destroy())],
  ["closes the stream in good order", (server) => server.on("stream", (stream) => stream.close(0))],
] as [string, (server: Http2Server) => Http2Server][]) {
  test(`a call is UNAVAILABLE when the server ${how}`, { timeout: 5000 }, async () => {
    const server = arrange(createServer());
    const client = new Client(await addressOf(server), ONCE);
    assert.equal(await codeOf(client.auth.getJwks({})), "UNAVAILABLE");
    client.close();
    server.close();
  });
}

test("calls to a server that speaks no HTTP/2 fail, and say so", { timeout: 5000 }, async () => {
  const server = createListener((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n").on("error", () => {}));
  const client = new Client(await addressOf(server), ONCE);
  for (let round = 0; round < 10; round++) {
    const calls = Array.from({ length: 10 }, () => client.auth.getJwks({}));
    for (const { reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[])
      assert.match((reason as AntiphonError).message, /does not speak HTTP\/2 in plain text/);
  }
  client.close();
  server.close();
});

test("a call that a stopping server cancels is tried again", { timeout: 5000 }, async () => {
  let calls = 0;
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(AuthService, {
          getJwks: () => {
            if (++calls === 1) throw new ConnectError("CANCELLED", Code.Canceled);
            return {};
          },
        }),
    }),
  );
  const client = new Client(await addressOf(server));
  await client.auth.getJwks({});
  assert.equal(calls, 2);
  client.close();
  server.close();
});

test("leaving a stream ends its call at the server", { timeout: 5000 }, async () => {
  let left = () => {};
  const gone = new Promise<void>((resolve) => (left = resolve));
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(AnalyticsService, {
          async *watchUsage(_, { signal }) {
            signal.addEventListener("abort", left);
            yield {};
            await gone;
          },
        }),
    }),
  );
  const client = new Client(await addressOf(server));
  for await (const _ of client.analytics.watchUsage({})) break;
  await gone;
  client.close();
  server.close();
});

test("a call that was aborted before it began renews nothing", async () => {
  const client = new Client("127.0.0.1:1", { refreshToken: "one" });
  assert.equal(await codeOf(client.auth.getProfile({}, { signal: AbortSignal.abort() })), "CANCELLED");
  assert.equal(client.transport.underWay.size, 0);
  client.close();
});

test("any number of calls share a signal without a warning", async () => {
  const warnings: Error[] = [];
  const heard = (warning: Error) => warnings.push(warning);
  process.on("warning", heard);
  const client = new Client("127.0.0.1:1", ONCE);
  const { signal } = new AbortController();
  await Promise.allSettled(Array.from({ length: 20 }, () => client.auth.getJwks({}, { signal })));
  await setImmediate();
  process.off("warning", heard);
  assert.deepEqual(warnings, []);
  client.close();
});
