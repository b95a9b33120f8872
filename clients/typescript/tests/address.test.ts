// The addresses that the conformance cases have no network for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf } from "#options";

for (const [server, tls, url] of [
  ["127.0.0.1:50051", undefined, "http://127.0.0.1:50051"],
  ["[::1]:50051", undefined, "http://[::1]:50051"],
  ["localhost:50051", true, "https://localhost:50051"],
  ["chat.example.com:443", undefined, "https://chat.example.com:443"],
  ["https://chat.example.com/", undefined, "https://chat.example.com"],
  ["http://chat.example.com", undefined, "http://chat.example.com"],
  ["10.0.0.7:50051", false, "http://10.0.0.7:50051"],
] as const) {
  test(`${server} with tls ${tls} is ${url}`, () => assert.equal(addressOf(server, tls).url, url));
}

for (const [server, tls] of [
  ["", undefined],
  ["chat.example.com", undefined],
  ["127.0.0.1:99999", undefined],
  ["ftp://chat.example.com", undefined],
  ["user@chat.example.com:443", undefined],
  ["http://chat.example.com", true],
  ["https://chat.example.com", false],
  ["127.0.0.1:50051", { certificate: "a certificate without its key" }],
] as const) {
  test(`${server} with tls ${JSON.stringify(tls)} is refused`, () => {
    assert.throws(() => addressOf(server, tls), TypeError);
  });
}
