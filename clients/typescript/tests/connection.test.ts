// What becomes of calls when a connection ends in ways that the proxy of the conformance cases has not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Server } from "node:http2";
import { createServer as createListener, type AddressInfo, type Server } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { inspect } from "node:util";

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AntiphonError, Client } from "@antiphon/client";
import { AnalyticsService } from "@antiphon/client/gen/antiphon/analytics/v1/analytics_pb";
import { AuthService } from "@antiphon/client/gen/antiphon/auth/v1/auth_pb";
import { ErrorInfoSchema } from "@antiphon/client/gen/google/rpc/error_details_pb";

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

for (const [what, ca] of [
  ["nothing", ""],
  ["a key", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"],
  ["a broken certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"],
] as const) {
  test(`${what} in the place of an authority is refused`, () => {
    assert.throws(() => new Client("https://127.0.0.1:1", { tls: { ca } }), /TypeError: tls: ca has no certificate/);
  });
}

test("an error that nobody catches is printed in its own words", { timeout: 5000 }, async () => {
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(AuthService, {
          getJwks: () => {
            throw new ConnectError("no keys", Code.NotFound, { "x-secret": "shown to nobody" }, [
              { desc: ErrorInfoSchema, value: { reason: "USER_NOT_FOUND", domain: "antiphon" } },
            ]);
          },
        }),
    }),
  );
  const client = new Client(await addressOf(server), ONCE);
  const failure = await client.auth.getJwks({}).catch((failed: unknown) => failed);
  assert(failure instanceof AntiphonError);
  assert.equal(failure.trailers.get("x-secret"), "shown to nobody");
  // As Node does it.
  const printed = inspect(failure, { customInspect: false, depth: 5 });
  assert.match(printed, /reason: 'USER_NOT_FOUND'/);
  assert.doesNotMatch(printed, /cause|Uint8Array|shown to nobody/);
  client.close();
  server.close();
});
