/** Lists, page by page. */

import type { CallOptions } from "@connectrpc/connect";

/** What the request of every list has. */
interface Paged {
  pageToken?: string;
  skip?: number;
}

/**
 * The pages of a list, each fetched as it is needed:
 *
 *     for await (const page of pages(client.chat.listSessions, { pageSize: 50 })) show(page.sessions);
 */
export async function* pages<Request extends Paged, Page extends { nextPageToken: string }>(
  list: (request: Request, options?: CallOptions) => Promise<Page>,
  request: Request,
  options?: CallOptions,
): AsyncGenerator<Page, undefined> {
  let asked = request;
  for (;;) {
    const page = await list(asked, options);
    yield page;
    if (!page.nextPageToken) return undefined;
    asked = { ...asked, pageToken: page.nextPageToken, skip: 0 };
  }
}
