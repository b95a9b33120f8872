import { Client } from "@antiphon/client";

const [server, email, password] = process.argv.slice(2);
if (!server || !email || !password) {
  console.error("usage: node hello.js SERVER EMAIL PASSWORD");
  process.exit(2);
}

const client = new Client(server);
await client.login(email, password);
const answer = client.answer({ input: { case: "message", value: "Why is the sky blue?" }, model: "echo" });
for await (const { event } of answer) {
  if (event.case === "textDelta") process.stdout.write(event.value.text);
}
console.log(`\n${answer.finished?.usage?.quantities.length} quantities were used`);
client.close();
