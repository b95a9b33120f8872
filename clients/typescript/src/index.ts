/** Client of Antiphon. The contract's messages are in `@antiphon/client/gen/antiphon/…/v1/…_pb`. */

export { Answer, type Position } from "./answer.js";
export type { CallOptions } from "./calling.js";
export { Client } from "./client.js";
export { Download } from "./download.js";
export { AntiphonError, type Quota, type Reason, type Resource, type StatusCode, type Violation } from "./errors.js";
export type { ClientOptions, Retries, Timeouts, TLS } from "./options.js";
export { pages } from "./pages.js";
export type { Reconnect, ResumingOptions } from "./resuming.js";
export type { Tokens } from "./tokens.js";
