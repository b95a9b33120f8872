// How clients are made; compiled, and run by nobody.

import { readFileSync, writeFileSync } from "node:fs";

import { Client } from "@antiphon/client";

export const anonymous = new Client("127.0.0.1:50051");

export const withApiKey = new Client("https://chat.example.com", { token: "ak_…" });

export const mutual = new Client("chat.internal:50051", {
  tls: {
    ca: readFileSync("ca.pem"),
    certificate: readFileSync("client.pem"),
    key: readFileSync("client.key"),
    serverName: "antiphon.internal",
  },
});

export const kept = new Client("https://chat.example.com", {
  refreshToken: readFileSync("refresh-token", "utf-8"),
  onTokens: (tokens) => writeFileSync("refresh-token", tokens?.refreshToken ?? "", { mode: 0o600 }),
});

export const patient = new Client("127.0.0.1:50051", {
  retries: { attempts: 10, maxDelayMs: 20_000 },
  timeouts: { unaryMs: 60_000 },
});

export const plain = new Client("10.0.0.7:50051", { tls: false });
