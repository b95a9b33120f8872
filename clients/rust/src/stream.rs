//! Streams of responses: tried again until the first one has come, and no further.

use std::{fmt, marker::PhantomData, pin::Pin, time::Duration};

use bytes::Bytes;
use prost::Message;
use tokio::time::{Sleep, sleep};
use tonic::metadata::MetadataMap;

use crate::{
    CallOptions, Client, Error, Method, Reply, Streaming,
    client::{append, decoded, metadata},
    retry::{Attempts, Deadline, Reconnect},
};

type Opening = dyn Future<Output = Result<tonic::Response<tonic::Streaming<Bytes>>, Error>> + Send;
type Listener = dyn FnMut(&Reconnect) + Send;

/// The tries of a call, and what the present one brings.
///
/// What it waits for it keeps, so that a reader who drops the future of `next`, because something else was ready first, finds the
/// call under way the next time.
pub(crate) struct Pull {
    pub(crate) attempts: Attempts,
    pub(crate) headers: MetadataMap,
    pub(crate) trailers: MetadataMap,
    /// How often the call was made.
    pub(crate) tries: u32,
    /// Told before each pause.
    pub(crate) listener: Option<Box<Listener>>,
    client: Client,
    deadline: Deadline,
    more: Vec<(String, String)>,
    metadata: Option<MetadataMap>,
    token: String,
    rejected: String,
    pause: Option<Pin<Box<Sleep>>>,
    opening: Option<Pin<Box<Opening>>>,
    stream: Option<tonic::Streaming<Bytes>>,
}

impl Pull {
    pub(crate) fn new(
        client: Client,
        method: Method,
        timeout: Option<Duration>,
        more: Vec<(String, String)>,
    ) -> Self {
        let deadline = Deadline::after(timeout);
        Self {
            attempts: client.attempts(method, deadline),
            headers: MetadataMap::new(),
            trailers: MetadataMap::new(),
            tries: 0,
            listener: None,
            client,
            deadline,
            more,
            metadata: None,
            token: String::new(),
            rejected: String::new(),
            pause: None,
            opening: None,
            stream: None,
        }
    }

    /// The next message of the present try, which is begun when there is none; None at its end.
    pub(crate) async fn next(&mut self, method: Method, request: &Bytes) -> Result<Option<Bytes>, Error> {
        let (deadline, client) = (self.deadline, self.client.clone());
        let step = deadline.bounds(client.target(), self.step(method, request)).await;
        if !matches!(step, Ok(Some(_))) {
            self.stop();
        }
        step
    }

    /// Ends the present try.
    pub(crate) fn stop(&mut self) {
        self.opening = None;
        self.stream = None;
    }

    async fn step(&mut self, method: Method, request: &Bytes) -> Result<Option<Bytes>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let response = self.opened(method, request).await?;
                self.headers = response.metadata().clone();
                self.stream.insert(response.into_inner())
            }
        };
        let failed = |status| Error::of(status, self.client.target());
        if let Some(message) = stream.message().await.map_err(failed)? {
            return Ok(Some(message));
        }
        // An answer without a message may be trailers alone, which tonic takes for headers.
        let trailers = stream.trailers().await.map_err(failed)?;
        self.trailers = trailers.unwrap_or_else(|| std::mem::take(&mut self.headers));
        Ok(None)
    }

    async fn opened(
        &mut self,
        method: Method,
        request: &Bytes,
    ) -> Result<tonic::Response<tonic::Streaming<Bytes>>, Error> {
        if let Some(pause) = &mut self.pause {
            pause.await;
            self.pause = None;
        }
        let opening = match &mut self.opening {
            Some(opening) => opening,
            None => {
                let metadata = self.beside(method).await?;
                self.tries += 1;
                self.opening.insert(Box::pin(self.client.clone().open(method, request.clone(), metadata)))
            }
        };
        let response = opening.await;
        self.opening = None;
        response
    }

    async fn beside(&mut self, method: Method) -> Result<MetadataMap, Error> {
        let mut beside = match &self.metadata {
            Some(known) => known.clone(),
            None => self.metadata.insert(metadata(&self.more)?).clone(),
        };
        if !method.public && !beside.contains_key("authorization") {
            self.token = self.client.token(&self.rejected).await?;
            if !self.token.is_empty() {
                append(&mut beside, "authorization", &format!("Bearer {}", self.token))?;
            }
        }
        if let Some(left) = self.deadline.remaining() {
            // gRPC has eight digits for a number of units.
            let (number, unit) = match left.as_micros() {
                micros @ ..100_000_000 => (micros.max(1), 'u'),
                micros => (micros / 1000, 'm'),
            };
            append(&mut beside, "grpc-timeout", &format!("{}{unit}", number.min(99_999_999)))?;
        }
        Ok(beside)
    }

    /// The only message of a try.
    pub(crate) async fn whole(&mut self, method: Method, request: &Bytes) -> Result<Reply<Bytes>, Error> {
        let Some(message) = self.next(method, request).await? else {
            return Err(Error::unreachable("the call ended without a response"));
        };
        while self.next(method, request).await?.is_some() {}
        Ok(self.reply(message))
    }

    pub(crate) fn reply(&mut self, message: Bytes) -> Reply<Bytes> {
        Reply {
            message,
            headers: std::mem::take(&mut self.headers),
            trailers: std::mem::take(&mut self.trailers),
            tries: self.tries,
        }
    }

    /// Makes the next try due, and says whether it is one of the retry policy; the failure when there is none.
    pub(crate) fn recover(&mut self, failure: Error) -> Result<bool, Error> {
        self.stop();
        if self.rejected.is_empty() && !self.token.is_empty() && self.client.renews(&failure) {
            self.rejected.clone_from(&self.token);
            return Ok(false);
        }
        let told = self.listener.is_some().then(|| self.tried(failure.clone()));
        let pause = self.attempts.after(failure).map_err(|failure| self.tried(failure))?;
        if let (Some(listener), Some(failure)) = (&mut self.listener, told) {
            listener(&Reconnect { failure, attempt: self.attempts.failed(), pause });
        }
        self.pause = Some(Box::pin(sleep(pause)));
        Ok(true)
    }

    /// The failure with what is known of the call.
    pub(crate) fn tried(&self, mut failure: Error) -> Error {
        let known = self.metadata.as_ref().and_then(|metadata| metadata.get("x-request-id"));
        let failed = failure.edit();
        failed.tries = self.tries;
        if failed.request_id.is_empty()
            && let Some(Ok(id)) = known.map(|id| id.to_str())
        {
            failed.request_id = id.to_owned();
        }
        failure
    }

    /// Something new has arrived.
    pub(crate) fn progressed(&mut self) {
        self.attempts.progressed();
        self.rejected.clear();
    }
}

/// The responses of a stream as they travel.
#[must_use = "a stream is opened by `next`"]
pub struct RawEvents {
    pull: Pull,
    method: Method,
    request: Bytes,
    begun: bool,
    ended: bool,
}

impl RawEvents {
    /// The next response; None at the end, and after a failure. Dropping the stream ends the call; dropping the future of `next`,
    /// as `select!` does, loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.ended {
            match self.pull.next(self.method, &self.request).await {
                Ok(Some(message)) => {
                    self.begun = true;
                    return Ok(Some(message));
                }
                Ok(None) => self.ended = true,
                Err(failure) if self.begun => {
                    self.ended = true;
                    return Err(self.pull.tried(failure));
                }
                Err(failure) => {
                    self.pull.recover(failure).inspect_err(|_| self.ended = true)?;
                }
            }
        }
        Ok(None)
    }

    /// What came before the first response, once that has come.
    pub fn headers(&self) -> &MetadataMap {
        &self.pull.headers
    }

    /// What came behind the last response, once the end has come.
    pub fn trailers(&self) -> &MetadataMap {
        &self.pull.trailers
    }

    /// How often the call was tried.
    pub fn tries(&self) -> u32 {
        self.pull.tries
    }
}

impl fmt::Debug for RawEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEvents").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The responses of a stream.
#[must_use = "a stream is opened by `next`"]
pub struct Events<T> {
    raw: RawEvents,
    kind: PhantomData<fn() -> T>,
}

impl<T: Message + Default> Events<T> {
    /// The next response; None at the end, and after a failure. Dropping the stream ends the call; dropping the future of `next`,
    /// as `select!` does, loses nothing.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        self.raw.next().await?.map(decoded).transpose()
    }

    /// What came before the first response, once that has come.
    pub fn headers(&self) -> &MetadataMap {
        self.raw.headers()
    }

    /// What came behind the last response, once the end has come.
    pub fn trailers(&self) -> &MetadataMap {
        self.raw.trailers()
    }

    /// How often the call was tried.
    pub fn tries(&self) -> u32 {
        self.raw.tries()
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl Client {
    /// Begins a stream, which the first `next` opens.
    pub fn stream<R: Streaming>(&self, request: R) -> Events<R::Response> {
        self.stream_with(request, CallOptions::default())
    }

    /// Begins a stream, with options.
    pub fn stream_with<R: Streaming>(&self, mut request: R, options: CallOptions) -> Events<R::Response> {
        request.identify();
        Events {
            raw: self.stream_bytes(R::METHOD, request.encode_to_vec().into(), options),
            kind: PhantomData,
        }
    }

    /// Begins a stream of an RPC that is known by name, with messages as they travel.
    pub fn stream_bytes(&self, method: Method, request: Bytes, options: CallOptions) -> RawEvents {
        RawEvents {
            pull: Pull::new(self.clone(), method, options.timeout, options.metadata),
            method,
            request,
            begun: false,
            ended: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc};

    use tokio::time::timeout;

    use super::*;
    use crate::{Code, Retries, chat::v1::StreamChatRequest};

    #[tokio::test]
    async fn a_reader_who_looks_away_finds_the_call_under_way() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(silent.local_addr().unwrap().to_string()).unwrap();
        let mut answer = client.answer(StreamChatRequest::default());
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(10), answer.next()).await.is_err());
        }
        assert_eq!(answer.tries(), 1);
    }

    #[tokio::test]
    async fn a_reader_is_told_before_each_pause() {
        let retries = Retries { attempts: 3, first_delay: Duration::from_millis(1), ..Retries::default() };
        let client = Client::builder("127.0.0.1:1").retries(retries).build().unwrap();
        let (tell, told) = mpsc::channel();
        let mut answer = client
            .answer(StreamChatRequest::default())
            .on_reconnect(move |lost| tell.send(lost.clone()).unwrap());
        assert_eq!(answer.next().await.unwrap_err().tries, 3);
        let told: Vec<_> = told.try_iter().map(|lost| (lost.attempt, lost.failure.code)).collect();
        assert_eq!(told, [(1, Code::Unavailable), (2, Code::Unavailable)]);
    }
}
