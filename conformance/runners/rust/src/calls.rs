//! Ops that call.

use antiphon_client::{
    Answer,
    chat::v1::{StreamChatRequest, chat_event::Event},
    image::v1::DownloadImageRequest,
    speech::v1::DownloadAudioRequest,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Answered, Op, Runner,
    clients::options,
    messages::{self, Known},
    outcome,
};

impl Runner {
    pub async fn call(&self, op: &Op) -> Answered {
        let client = self.client(op)?;
        let known = Known::by(op.text("method")?);
        let request = known.request(&op.request["request"])?;
        let method = known.method_with(&op.request["request"]);
        Ok(match client.call_bytes(method, request, options(op)).await {
            Ok(reply) => {
                let mut told = outcome::succeeded(&reply.headers, &reply.trailers, reply.tries);
                told["response"] = known.response(reply.message)?;
                told
            }
            Err(error) => outcome::failed(&error),
        })
    }

    pub async fn stream(&self, op: &Op) -> Answered {
        let known = Known::by(op.text("method")?);
        let request = known.request(&op.request["request"])?;
        let mut events = self.client(op)?.stream_bytes(known.method, request, options(op));
        let take = op.request["take"].as_u64().unwrap_or(u64::MAX);
        let mut count = 0;
        let mut told = loop {
            if count >= take {
                break outcome::succeeded(events.headers(), events.trailers(), events.tries());
            }
            let next = tokio::select! {
                next = events.next() => next,
                () = op.cancelled.notified() => break outcome::cancelled(),
            };
            match next {
                Ok(Some(message)) => {
                    count += 1;
                    op.event(known.response(message)?);
                }
                Ok(None) => break outcome::succeeded(events.headers(), events.trailers(), events.tries()),
                Err(error) => break outcome::failed(&error),
            }
        };
        told["count"] = count.into();
        Ok(told)
    }

    pub async fn answer(&self, op: &Op) -> Answered {
        let json = &op.request["request"];
        let known = Known::by("antiphon.chat.v1.ChatService/StreamChat");
        if json.get("request_id").or(json.get("requestId")).is_some_and(|id| id == "") {
            return Err(format!("{} always has a request_id", known.method.path));
        }
        let request: StreamChatRequest = messages::typed_of("antiphon.chat.v1.StreamChatRequest", json)?;
        let answer = self.client(op)?.answer_with(request, options(op));
        listen(op, answer).await
    }

    pub async fn resume(&self, op: &Op) -> Answered {
        let seq = &op.request["after_seq"];
        let seq = seq.as_i64().or_else(|| seq.as_str()?.parse().ok()).unwrap_or_default();
        let resume_token = op.request["resume_token"].as_str().unwrap_or_default();
        let client = self.client(op)?;
        let answer = client.resume_with(op.text("generation_id")?, seq, resume_token, options(op));
        listen(op, answer).await
    }

    pub async fn pages(&self, op: &Op) -> Answered {
        let known = Known::by(op.text("method")?);
        let field = op.text("items")?;
        let read = known.pages.ok_or_else(|| format!("{} is no list", known.method.path))?;
        let request = known.request(&op.request["request"])?;
        let listed = read(self.client(op)?, request, options(op), &op.cancelled).await?;
        let mut items = Vec::new();
        for page in &listed.pages {
            let page = known.response(page.clone())?;
            items.extend(page[field].as_array().into_iter().flatten().cloned());
        }
        let mut told = listed.failed.unwrap_or_else(|| json!({"ok": true, "tries": listed.tries}));
        told["items"] = items.into();
        told["pages"] = listed.pages.len().into();
        Ok(told)
    }

    pub async fn download(&self, op: &Op) -> Answered {
        let client = self.client(op)?;
        let json = &op.request["request"];
        let mut download = match op.text("method")? {
            "antiphon.image.v1.ImageService/DownloadImage" => {
                let kind = "antiphon.image.v1.DownloadImageRequest";
                let request: DownloadImageRequest = messages::typed_of(kind, json)?;
                client.download_with(request, options(op))
            }
            "antiphon.speech.v1.SpeechService/DownloadAudio" => {
                let kind = "antiphon.speech.v1.DownloadAudioRequest";
                let request: DownloadAudioRequest = messages::typed_of(kind, json)?;
                client.download_with(request, options(op))
            }
            other => return Err(format!("{other} is no download")),
        };
        Ok(match download.bytes().await {
            Ok(bytes) => {
                let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
                json!({
                    "ok": true, "bytes": bytes.len(), "sha256": sha256, "told_sha256": download.sha256(),
                    "content_type": download.content_type(), "tries": download.tries(),
                })
            }
            Err(error) => outcome::failed(&error),
        })
    }
}

/// Tells the events of an answer, then how it ended.
async fn listen(op: &Op, mut answer: Answer) -> Answered {
    let take = op.request["take"].as_u64().unwrap_or(u64::MAX);
    let (mut count, mut text) = (0, String::new());
    let mut told: Value = loop {
        if count >= take {
            break outcome::succeeded(answer.headers(), answer.trailers(), answer.tries());
        }
        let next = tokio::select! {
            next = answer.next() => next,
            () = op.cancelled.notified() => break outcome::cancelled(),
        };
        match next {
            Ok(Some(event)) => {
                count += 1;
                if let Some(Event::TextDelta(delta)) = &event.event {
                    text.push_str(&delta.text);
                }
                op.event(messages::json_of("antiphon.chat.v1.ChatEvent", &event)?);
            }
            Ok(None) => break outcome::succeeded(answer.headers(), answer.trailers(), answer.tries()),
            Err(error) => break outcome::failed(&error),
        }
    };
    told["text"] = text.into();
    told["count"] = count.into();
    told["reconnects"] = answer.reconnects().into();
    Ok(told)
}
