/** The runner of the TypeScript client: see conformance/README.md. It is compiled as a part of the client's build. */

import { createInterface } from "node:readline";

import { perform, type Request } from "./ops.js";

const running = new Map<number, AbortController>();

function write(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function answer(request: Request): Promise<void> {
  const { id } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const result = await perform(request, controller.signal, (event) => write({ id, event }));
    write({ id, result });
  } catch (broken) {
    write({
      id,
      broken: broken instanceof Error ? (broken.stack ?? broken.message) : String(broken),
    });
  } finally {
    running.delete(id);
  }
}

for await (const line of createInterface({
  input: process.stdin,
  crlfDelay: Infinity,
})) {
  if (!line.trim()) continue;
  const request = JSON.parse(line) as Request;
  if (request.op === "cancel") {
    running.get(request.target ?? -1)?.abort();
    write({ id: request.id, result: {} });
  } else {
    void answer(request);
  }
}
process.exit(0);
