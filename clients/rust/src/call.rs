//! What a call is: an RPC by the type of its request, and how it is made.

use std::{fmt, time::Duration};

use prost::Message;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// An RPC, with what the contract's policy says of it.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Such as `/antiphon.chat.v1.ChatService/Chat`.
    pub path: &'static str,
    /// Whether a call may be repeated without doing anything twice.
    pub idempotent: bool,
    /// Whether the server looks at no credential, so that none is sent.
    pub public: bool,
}

const ANSWER: Duration = Duration::from_secs(600);
const UNARY: Duration = Duration::from_secs(30);

impl Method {
    /// How long a call may take unless its caller says otherwise; None for no limit.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.name() {
            "Chat" | "GenerateImage" | "Synthesize" | "Reconcile" => Some(ANSWER),
            _ => Some(UNARY),
        }
    }

    pub(crate) fn provider_is_final(&self) -> bool {
        matches!(self.name(), "GenerateImage" | "Synthesize" | "StreamSynthesize")
    }

    /// Whether the thing's absence, found by a later try, is what an earlier try may have made.
    pub(crate) fn removes(&self) -> bool {
        matches!(self.name(), "DeleteSession" | "DeleteImage" | "DeleteConversion")
    }

    fn name(&self) -> &'static str {
        self.path.rsplit_once('/').map_or("", |(_, name)| name)
    }
}

/// A request: the contract has one RPC for each type of request.
pub trait Rpc: Message + Default {
    /// What it is answered with.
    type Response: Message + Default;

    /// The RPC.
    const METHOD: Method;

    /// The field that makes a retry safe, if there is one.
    fn request_id(&mut self) -> Option<&mut String> {
        None
    }

    /// Sets `request_id` to a random UUID, where there is such a field and it is empty.
    fn identify(&mut self) {
        if let Some(id) = self.request_id().filter(|id| id.is_empty()) {
            *id = Uuid::new_v4().to_string();
        }
    }
}

/// A request with one response.
pub trait Unary: Rpc {}

/// A request with a stream of responses.
pub trait Streaming: Rpc {}

/// How a call is made.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// Time for the whole call, tries and pauses included. None: 30 seconds, ten minutes for what makes something, and no limit
    /// for streams.
    pub timeout: Option<Duration>,
    /// More metadata, ASCII keys and values. It takes the place of what the client would send: with an `authorization` of its
    /// own a call neither uses nor renews the client's tokens.
    pub metadata: Vec<(String, String)>,
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        let keys: Vec<_> = self.metadata.iter().map(|(key, _)| key).collect();
        f.debug_struct("CallOptions").field("timeout", &self.timeout).field("metadata", &keys).finish()
    }
}

/// A response, and what came with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply<T> {
    /// The response.
    pub message: T,
    /// What came before it.
    pub headers: MetadataMap,
    /// What came behind it.
    pub trailers: MetadataMap,
    /// How often the call was tried.
    pub tries: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_may_be_secret_is_not_shown() {
        let metadata = vec![("authorization".to_owned(), "Bearer secret".to_owned())];
        let shown = format!("{:?}", CallOptions { metadata, ..CallOptions::default() });
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
    }
}
