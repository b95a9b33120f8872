//! Lists, page by page.

use crate::{CallOptions, Client, Error, Unary};

/// A request of a list.
pub trait Paged: Unary + Clone {
    /// Asks for the page that `page_token` names.
    fn turn_to(&mut self, page_token: String);

    /// What names the page after this one; empty on the last one.
    fn next_page_token(page: &Self::Response) -> &str;
}

/// The pages of a list, each fetched when it is asked for.
#[derive(Debug)]
#[must_use = "a page is fetched by `next`"]
pub struct Pages<R> {
    client: Client,
    request: R,
    options: CallOptions,
    tries: u32,
    ended: bool,
}

impl Client {
    /// Reads a list page by page.
    pub fn pages<R: Paged>(&self, request: R) -> Pages<R> {
        self.pages_with(request, CallOptions::default())
    }

    /// Reads a list page by page, with options; the timeout is for each page.
    pub fn pages_with<R: Paged>(&self, request: R, options: CallOptions) -> Pages<R> {
        Pages { client: self.clone(), request, options, tries: 0, ended: false }
    }
}

impl<R: Paged> Pages<R> {
    /// The next page; None after the last one. After a failure it is the same page that is asked for again.
    pub async fn next(&mut self) -> Result<Option<R::Response>, Error> {
        if self.ended {
            return Ok(None);
        }
        let reply = self.client.call_with(self.request.clone(), self.options.clone()).await?;
        self.tries += reply.tries;
        match R::next_page_token(&reply.message) {
            "" => self.ended = true,
            token => self.request.turn_to(token.to_owned()),
        }
        Ok(Some(reply.message))
    }

    /// How many calls brought the pages that have come.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}
