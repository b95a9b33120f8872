//! How many calls, or streamed messages, come in a span of time.

use std::time::{Duration, Instant};

use antiphon_client::{
    Client, Error,
    auth::v1::GetProfileRequest,
    chat::v1::{StreamChatRequest, stream_chat_request::Input},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Answered, Op, Runner};

const WORDS: usize = 200;

impl Runner {
    pub async fn bench(&self, op: &Op) -> Answered {
        let client = self.client(op)?;
        let streams = match op.text("kind")? {
            "unary" => false,
            "stream" => true,
            other => return Err(format!("no bench {other}")),
        };
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(op.request["seconds"].as_f64().unwrap_or(1.0));
        let mut callers = JoinSet::new();
        for _ in 0..op.request["concurrency"].as_u64().unwrap_or(1) {
            callers.spawn(count(client.clone(), streams, end));
        }
        let mut total = 0;
        for counted in callers.join_all().await {
            total += counted.map_err(|error| error.to_string())?;
        }
        Ok(json!({"count": total, "seconds": began.elapsed().as_secs_f64()}))
    }
}

async fn count(client: Client, streams: bool, end: Instant) -> Result<u64, Error> {
    let mut count = 0;
    while Instant::now() < end {
        if !streams {
            client.call(GetProfileRequest {}).await?;
            count += 1;
            continue;
        }
        let request = StreamChatRequest {
            model: "echo".to_owned(),
            input: Some(Input::Message(vec!["word"; WORDS].join(" "))),
            ..Default::default()
        };
        let mut events = client.stream(request);
        while Instant::now() < end && events.next().await?.is_some() {
            count += 1;
        }
    }
    Ok(count)
}
