// The snippets of docs/clients/typescript.md, together a program.

import { writeFile } from "node:fs/promises";

import { AntiphonError, Client, pages } from "@antiphon/client";
import { AudioFormat } from "@antiphon/client/gen/antiphon/speech/v1/speech_pb";

const [server, email, password] = process.argv.slice(2);
if (!server || !email || !password) {
  console.error("usage: node tour.js SERVER EMAIL PASSWORD");
  process.exit(2);
}

const client = new Client(server);
const user = await client.login(email, password, { deviceName: "laptop" });
console.log(user.email, user.role);

const { session } = await client.chat.createSession({ title: "Sky", model: "echo" });
const whole = await client.chat.chat(
  { sessionId: session!.sessionId, input: { case: "message", value: "Hello" } },
  { timeoutMs: 60_000 },
);
console.log(whole.generation?.text);

for await (const page of pages(client.chat.listSessions, { pageSize: 50 })) {
  for (const each of page.sessions) console.log(each.sessionId, each.title);
}

const answer = client.answer(
  { input: { case: "message", value: "Why is the sky blue?" }, model: "echo" },
  { onReconnect: ({ attempt }) => console.error(`the connection was lost; try ${attempt}`) },
);
for await (const { event } of answer) {
  if (event.case === "textDelta") process.stdout.write(event.value.text);
}
console.log(answer.finished?.reason, answer.reconnects);

const { generationId, seq, resumeToken } = answer;
for await (const event of client.resume({ generationId, afterSeq: seq, resumeToken })) console.log(event.seq);

const stop = new AbortController();
setTimeout(() => stop.abort(), 1000);
try {
  for await (const _ of client.answer({ input: { case: "message", value: "Hi" } }, { signal: stop.signal }));
} catch (error) {
  if (!(error instanceof AntiphonError && error.code === "CANCELLED")) throw error;
}

for await (const { figures } of client.analytics.watchUsage({})) {
  console.log(figures?.eventCount);
  break;
}

try {
  await client.chat.chat({ input: { case: "message", value: "Hi" }, model: "nobody" });
} catch (error) {
  if (!(error instanceof AntiphonError)) throw error;
  if (error.reason === "MODEL_NOT_FOUND") console.error(error.metadata["model"]);
  console.error(error.code, error.violations, error.retryAfterMs, error.quotas, error.resource, error.requestId);
}

const { conversion } = await client.speech.synthesize({
  input: { case: "text", value: "hola" },
  language: "es",
  format: AudioFormat.WAV,
});
const download = client.downloadAudio({ conversionId: conversion!.conversionId });
await writeFile("/dev/null", await download.bytes());
console.log(download.contentType, download.totalBytes, download.sha256);

client.close();
