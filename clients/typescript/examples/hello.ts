import { Client } from "@antiphon/client";

const client = new Client(process.env["ANTIPHON_SERVER"] ?? "127.0.0.1:50051");
await client.login(process.env["ANTIPHON_EMAIL"] ?? "ana@example.com", process.env["ANTIPHON_PASSWORD"] ?? "");
const answer = client.answer({ input: { case: "message", value: "Why is the sky blue?" }, model: "echo" });
for await (const { event } of answer) {
  if (event.case === "textDelta") process.stdout.write(event.value.text);
}
console.log(`\n${answer.finished?.usage?.quantities.length} quantities were used`);
client.close();
