//! An answer: a record of numbered events, read to its end whatever happens to the connection.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use crate::{
    CallOptions, Client, Error, MetadataMap, Method, Reconnect, Rpc,
    chat::v1::{
        ChatEvent, Finished, ResumeStreamRequest, Started, StreamChatRequest, StreamChatResponse,
        chat_event::Event,
    },
    client::decoded,
    stream::Pull,
};

/// The events of an answer, each once and in order. When the connection breaks, it goes on after the last one that came.
///
/// Dropping it ends the watching; the request's `on_disconnect` tells what becomes of the generation.
#[must_use = "an answer is asked for by `next`"]
pub struct Answer {
    pull: Pull,
    method: Method,
    request: Bytes,
    generation_id: String,
    resume_token: String,
    seq: i64,
    resumes_at: Option<i64>,
    heard: bool,
    ended: bool,
    reconnects: u32,
    started: Option<Started>,
    finished: Option<Finished>,
}

impl Client {
    /// Asks for an answer, event by event.
    pub fn answer(&self, request: StreamChatRequest) -> Answer {
        self.answer_with(request, CallOptions::default())
    }

    /// Asks for an answer, with options; the timeout is for the whole answer.
    pub fn answer_with(&self, mut request: StreamChatRequest, options: CallOptions) -> Answer {
        request.identify();
        Answer::new(self, &request, options)
    }

    /// Goes on with an answer after the position `after_seq`, perhaps one that another process began. Anonymous callers need its
    /// `resume_token`, which is empty for others.
    pub fn resume(&self, generation_id: &str, after_seq: i64, resume_token: &str) -> Answer {
        self.resume_with(generation_id, after_seq, resume_token, CallOptions::default())
    }

    /// Goes on with an answer, with options.
    pub fn resume_with(
        &self,
        generation_id: &str,
        after_seq: i64,
        resume_token: &str,
        options: CallOptions,
    ) -> Answer {
        let request = ResumeStreamRequest {
            generation_id: generation_id.to_owned(),
            after_seq,
            resume_token: resume_token.to_owned(),
        };
        let mut answer = Answer::new(self, &request, options);
        answer.generation_id = request.generation_id;
        answer.resume_token = request.resume_token;
        answer.seq = after_seq;
        answer.resumes_at = Some(after_seq);
        answer
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("generation_id", &self.generation_id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl Answer {
    fn new<R: Rpc>(client: &Client, request: &R, options: CallOptions) -> Self {
        Self {
            pull: Pull::new(client.clone(), R::METHOD, options.timeout, options.metadata),
            method: R::METHOD,
            request: request.encode_to_vec().into(),
            generation_id: String::new(),
            resume_token: String::new(),
            seq: 0,
            resumes_at: None,
            heard: false,
            ended: false,
            reconnects: 0,
            started: None,
            finished: None,
        }
    }

    /// Calls `listener` each time the connection has broken and is about to be sought again. A server that is gone for
    /// good is sought for about a minute since the last event ([`Retries`](crate::Retries)).
    pub fn on_reconnect(mut self, listener: impl FnMut(&Reconnect) + Send + 'static) -> Self {
        self.pull.listener = Some(Box::new(listener));
        self
    }

    /// The next event; None after `finished`, and after a failure. Dropping the future of `next`, as `select!` does, loses nothing.
    pub async fn next(&mut self) -> Result<Option<ChatEvent>, Error> {
        while !self.ended {
            let failure = match self.pull.next(self.method, &self.request).await {
                Ok(Some(bytes)) => match self.take(bytes) {
                    Ok(None) => continue,
                    event => return event.map_err(|failure| self.end(failure)),
                },
                Ok(None) if self.at_its_end() => break,
                // What breaks behind the last event is nobody's loss.
                Err(_) if self.finished.is_some() => break,
                Ok(None) => Error::unreachable("the stream ended before the answer did"),
                Err(failure) => failure,
            };
            let paused = self.pull.recover(failure).map_err(|failure| self.end(failure))?;
            self.reconnects += u32::from(paused);
            self.go_on();
        }
        self.ended = true;
        Ok(None)
    }

    fn end(&mut self, failure: Error) -> Error {
        self.pull.stop();
        self.ended = true;
        self.pull.tried(failure)
    }

    /// The event of a response, if it is new. Both RPCs answer with one field of one type.
    fn take(&mut self, response: Bytes) -> Result<Option<ChatEvent>, Error> {
        let Some(event) = decoded::<StreamChatResponse>(response)?.event else {
            return Ok(None);
        };
        self.heard = true;
        if event.seq <= self.seq {
            return Ok(None);
        }
        if event.first_seq != self.seq + 1 || event.first_seq > event.seq {
            return Err(Error::broken(format!(
                "after position {} came an event that covers {} to {}",
                self.seq, event.first_seq, event.seq
            )));
        }
        self.seq = event.seq;
        self.pull.progressed();
        match &event.event {
            Some(Event::Started(started)) => {
                self.generation_id.clone_from(&started.generation_id);
                if !started.resume_token.is_empty() {
                    self.resume_token.clone_from(&started.resume_token);
                }
                self.started = Some(started.clone());
            }
            Some(Event::Finished(finished)) => {
                self.finished = Some(finished.clone());
            }
            _ => {}
        }
        Ok(Some(event))
    }

    /// Whether a call that has ended well was the last one: `finished` has come, or nothing comes after what was asked for.
    fn at_its_end(&self) -> bool {
        self.finished.is_some() || (self.resumes_at == Some(self.seq) && !self.heard)
    }

    /// The next call brings what is still missing. Until the generation is known that is the first call again: its request_id
    /// attaches it to what it began.
    fn go_on(&mut self) {
        self.heard = false;
        if self.generation_id.is_empty() {
            return;
        }
        self.method = ResumeStreamRequest::METHOD;
        let request = ResumeStreamRequest {
            generation_id: self.generation_id.clone(),
            after_seq: self.seq,
            resume_token: self.resume_token.clone(),
        };
        self.request = request.encode_to_vec().into();
    }

    /// The generation; empty until `started` has come.
    pub fn generation_id(&self) -> &str {
        &self.generation_id
    }

    /// What an anonymous caller needs to resume or cancel; empty for others.
    pub fn resume_token(&self) -> &str {
        &self.resume_token
    }

    /// The last position that came.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// How often the connection was sought again.
    pub fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// The first event's content, once it has come.
    pub fn started(&self) -> Option<&Started> {
        self.started.as_ref()
    }

    /// The last event's content, once it has come.
    pub fn finished(&self) -> Option<&Finished> {
        self.finished.as_ref()
    }

    /// What came before the first event of the present connection.
    pub fn headers(&self) -> &MetadataMap {
        &self.pull.headers
    }

    /// What came behind the last event.
    pub fn trailers(&self) -> &MetadataMap {
        &self.pull.trailers
    }

    /// How often a call was made.
    pub fn tries(&self) -> u32 {
        self.pull.tries
    }
}
