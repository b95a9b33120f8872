//! The client: a connection, who calls, and the one retry loop.

use std::{
    fmt,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::OwnedMutexGuard;
use tonic::{
    Code, Request,
    client::Grpc,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::Channel,
};
use uuid::Uuid;

use crate::{
    AddressError, CallOptions, Error, Method, Reply, Retries, Rpc, Tls, Unary,
    address::{self, Target},
    auth::v1::{LoginRequest, LogoutRequest, RefreshTokenRequest, User},
    codec::BytesCodec,
    error::innermost,
    foreign::Guarded,
    retry::{Attempts, Deadline},
    stream::Pull,
    tokens::{RENEWS, Tokens},
};

const LARGEST_MESSAGE: usize = 64 * 1024 * 1024;
const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// What a client is told at its making.
#[derive(Clone, Debug)]
#[must_use = "`build` makes the client"]
pub struct Builder {
    server: String,
    tls: Option<Tls>,
    tokens: Tokens,
    retries: Retries,
}

impl Builder {
    /// Protects the connection, with authorities and a certificate of one's own where given.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// An access token or an API key.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.tokens.access = token.into();
        self
    }

    /// A refresh token of a login session, from which access tokens are renewed.
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.tokens.refresh = token.into();
        self
    }

    /// How often calls are tried.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// The client; within a Tokio runtime. The first call connects. Fails when the address is none, or contradicts `tls`, or a
    /// certificate can't be read.
    pub fn build(self) -> Result<Client, AddressError> {
        let (channel, target) = address::channel(&self.server, self.tls.as_ref())?;
        Ok(Client(Arc::new(Inner {
            channel,
            target,
            retries: self.retries,
            tokens: Mutex::new(self.tokens),
            renewing: Arc::default(),
        })))
    }
}

/// A client of one server. Clones share its connection and its tokens.
///
/// The connection is closed when the last clone and the last call are gone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    channel: Channel,
    target: Target,
    retries: Retries,
    tokens: Mutex<Tokens>,
    renewing: Arc<tokio::sync::Mutex<Renewals>>,
}

/// How the last renewal went. Whoever renews, logs in or logs out holds it.
#[derive(Default)]
struct Renewals {
    rest_until: Option<Instant>,
    failed: Option<(Instant, Error)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client of `server`: `host:port`, `http://host:port` (plain text) or `https://host:port` (TLS). Without a scheme
    /// loopback is spoken to in plain text, everything else over TLS.
    pub fn builder(server: impl Into<String>) -> Builder {
        Builder { server: server.into(), tls: None, tokens: Tokens::default(), retries: Retries::default() }
    }

    /// An anonymous client of `server`; within a Tokio runtime. The first call connects.
    pub fn new(server: impl Into<String>) -> Result<Self, AddressError> {
        Self::builder(server).build()
    }

    /// The connection, for tonic's own service clients: without tokens, retries and typed errors.
    pub fn channel(&self) -> Channel {
        self.0.channel.clone()
    }

    /// Logs in. From now on the client renews its access token by itself. Never repeated; goes on when its caller goes away.
    pub async fn login(&self, email: &str, password: &str) -> Result<User, Error> {
        let request =
            LoginRequest { email: email.to_owned(), password: password.to_owned(), ..Default::default() };
        let client = self.clone();
        self.uncancelled(async move {
            let _held = client.0.renewing.lock().await;
            let response = client.call(request).await?;
            *client.tokens() = Tokens::new(response.access_token, response.refresh_token);
            response.user.ok_or_else(|| Error::local(Code::Internal, "the login names no user"))
        })
        .await
    }

    /// Ends the login session, and forgets its tokens.
    pub async fn logout(&self) -> Result<(), Error> {
        let client = self.clone();
        self.uncancelled(async move {
            let _held = client.0.renewing.lock().await;
            let refresh_token = client.tokens().refresh.clone();
            if !refresh_token.is_empty() {
                client.call(LogoutRequest { refresh_token }).await?;
            }
            *client.tokens() = Tokens::default();
            Ok(())
        })
        .await
    }

    /// The access token, renewed when it is about to end; empty for anonymous callers.
    pub async fn access_token(&self) -> Result<String, Error> {
        self.token("").await
    }

    /// Makes a call.
    pub async fn call<R: Unary>(&self, request: R) -> Result<R::Response, Error> {
        let reply = self.call_with(request, CallOptions::default()).await?;
        Ok(reply.message)
    }

    /// Makes a call; the response with its metadata.
    pub async fn call_with<R: Unary>(
        &self,
        mut request: R,
        options: CallOptions,
    ) -> Result<Reply<R::Response>, Error> {
        request.identify();
        let bytes = request.encode_to_vec().into();
        let reply = self.call_bytes(R::METHOD, bytes, options).await?;
        Ok(Reply {
            message: decoded(reply.message)?,
            headers: reply.headers,
            trailers: reply.trailers,
            tries: reply.tries,
        })
    }

    /// Makes a call of an RPC that is known by name, with messages as they travel. `request_id` is the caller's business: a
    /// `method` that has one and is called without is not `idempotent`.
    pub async fn call_bytes(
        &self,
        method: Method,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Reply<Bytes>, Error> {
        let timeout = options.timeout.or(method.timeout());
        let mut pull = Pull::new(self.clone(), method, timeout, options.metadata);
        loop {
            let failure = match pull.whole(method, &request).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            if method.removes() && pull.attempts.removed(&failure) {
                return Ok(pull.reply(Bytes::new()));
            }
            pull.recover(failure)?;
        }
    }

    pub(crate) fn attempts(&self, method: Method, deadline: Deadline) -> Attempts {
        let repeatable = method.idempotent;
        Attempts::new(&self.0.retries, deadline, repeatable, method.provider_is_final())
    }

    pub(crate) fn target(&self) -> &Target {
        &self.0.target
    }

    /// Begins one try.
    pub(crate) async fn open(
        self,
        method: Method,
        request: Bytes,
        metadata: MetadataMap,
    ) -> Result<tonic::Response<tonic::Streaming<Bytes>>, Error> {
        let mut grpc = Grpc::new(Guarded(self.channel())).max_decoding_message_size(LARGEST_MESSAGE);
        grpc.ready().await.map_err(|error| Error::unreachable(self.target().lost(&innermost(&error))))?;
        let request = Request::from_parts(metadata, Default::default(), request);
        let path = PathAndQuery::from_static(method.path);
        // A unary call is read as a stream of one message, since tonic's own way mixes headers and trailers.
        grpc.server_streaming(request, path, BytesCodec)
            .await
            .map_err(|status| Error::of(status, self.target()))
    }

    /// An access token that is not `rejected`, renewed when that is due; empty for anonymous callers.
    pub(crate) async fn token(&self, rejected: &str) -> Result<String, Error> {
        let tokens = self.tokens().clone();
        if tokens.usable(rejected) {
            return Ok(tokens.access);
        }
        let asked = Instant::now();
        let held = self.0.renewing.clone().lock_owned().await;
        // Another call may have renewed them meanwhile; and whoever could not a moment ago is not asked again by every call.
        let tokens = self.tokens().clone();
        let rests = held.rest_until.is_some_and(|end| Instant::now() < end);
        if tokens.usable(rejected) || (tokens.still_good(rejected) && rests) {
            return Ok(tokens.access);
        }
        // A renewal that has failed since was this call's as well.
        if let Some((when, failure)) = &held.failed
            && *when > asked
        {
            return Err(failure.clone());
        }
        self.uncancelled(self.clone().renewal(held, rejected.to_owned())).await
    }

    /// Whether a renewal may help against this failure of a call that was sent with a token.
    pub(crate) fn renews(&self, failure: &Error) -> bool {
        RENEWS.contains(&failure.reason.as_str()) && !self.tokens().refresh.is_empty()
    }

    /// A renewal is a call, and calls may need one: the type is named where the circle begins.
    fn renewal(
        self,
        mut held: OwnedMutexGuard<Renewals>,
        rejected: String,
    ) -> Pin<Box<dyn Future<Output = Result<String, Error>> + Send>> {
        Box::pin(async move {
            let renewed = self.renew(&mut held, &rejected).await;
            held.failed = renewed.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
            renewed
        })
    }

    async fn renew(&self, held: &mut Renewals, rejected: &str) -> Result<String, Error> {
        let tokens = self.tokens().clone();
        let request = RefreshTokenRequest { refresh_token: tokens.refresh.clone() };
        let deadline = Some(REFRESH_TIMEOUT);
        let method = RefreshTokenRequest::METHOD;
        let mut pull = Pull::new(self.clone(), method, deadline, Vec::new());
        // One try: whoever needs the token has a retry loop already.
        let done = pull.whole(method, &request.encode_to_vec().into()).await;
        match done.and_then(|reply| decoded::<<RefreshTokenRequest as Rpc>::Response>(reply.message)) {
            Ok(response) => {
                let renewed = Tokens::new(response.access_token, response.refresh_token);
                let access = renewed.access.clone();
                *self.tokens() = renewed;
                Ok(access)
            }
            Err(failure) if transient(failure.code) => {
                held.rest_until = Instant::now().checked_add(failure.retry_after.unwrap_or(REFRESH_PAUSE));
                if tokens.still_good(rejected) { Ok(tokens.access) } else { Err(failure) }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Runs to its end even when the caller goes away: tokens that the server has rotated must not be lost.
    async fn uncancelled<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match tokio::spawn(work).await {
            Ok(done) => done,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(Error::local(Code::Cancelled, "the runtime is shutting down")),
            },
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures that say nothing against a token: one that still lives is used on.
fn transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Internal | Code::Unknown
    )
}

pub(crate) fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Error> {
    M::decode(bytes)
        .map_err(|error| Error::local(Code::Internal, format!("a response is no message: {error}")))
}

/// What travels beside a request; an x-request-id, the same in all tries of a call, finds it in the server's log.
pub(crate) fn metadata(more: &[(String, String)]) -> Result<MetadataMap, Error> {
    let mut metadata = MetadataMap::new();
    for (key, value) in more {
        append(&mut metadata, key, value)?;
    }
    if !metadata.contains_key("x-request-id") {
        append(&mut metadata, "x-request-id", &Uuid::new_v4().to_string())?;
    }
    Ok(metadata)
}

pub(crate) fn append(metadata: &mut MetadataMap, key: &str, value: &str) -> Result<(), Error> {
    let wrong = |what| Error::local(Code::InvalidArgument, format!("the metadata {key:?} {what}"));
    let name: MetadataKey<Ascii> =
        key.parse().map_err(|_| wrong("has no name for texts: ASCII, no -bin at its end"))?;
    let value: MetadataValue<Ascii> = value.parse().map_err(|_| wrong("is not printable ASCII"))?;
    metadata.append(name, value);
    Ok(())
}
