//! The conformance runner: lines of JSON in, lines of JSON out (`conformance/README.md`).

mod bench;
mod calls;
mod clients;
mod messages;
mod outcome;

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::Notify,
};

/// What an op is answered with, or a text that says what the runner did wrong.
type Answered = Result<Value, String>;

/// Everything that ops share.
#[derive(Default)]
struct Runner {
    clients: Mutex<HashMap<String, antiphon_client::Client>>,
    running: Mutex<HashMap<u64, Arc<Notify>>>,
}

/// One op: its request, its caller's wish to end it, and where its events go.
struct Op {
    id: u64,
    request: Value,
    cancelled: Arc<Notify>,
}

impl Op {
    fn event(&self, event: Value) {
        write(&json!({"id": self.id, "event": event}));
    }

    fn text(&self, field: &str) -> Result<&str, String> {
        self.request[field].as_str().ok_or_else(|| format!("the op has no text {field}"))
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let runner = Arc::new(Runner::default());
    let mut lines = BufReader::with_capacity(1 << 20, tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str::<Value>(&line) {
            Ok(request) => runner.clone().begin(request),
            Err(error) => eprintln!("not a request: {error}"),
        }
    }
    Ok(())
}

impl Runner {
    fn begin(self: Arc<Self>, request: Value) {
        let id = request["id"].as_u64().unwrap_or_default();
        let op = Op { id, request, cancelled: Arc::default() };
        // Known before the next line is read, which may cancel it.
        lock(&self.running).insert(id, op.cancelled.clone());
        tokio::spawn(async move {
            let answered = self.run(&op).await;
            lock(&self.running).remove(&id);
            write(&match answered {
                Ok(result) => json!({"id": id, "result": result}),
                Err(broken) => json!({"id": id, "broken": broken}),
            });
        });
    }

    async fn run(&self, op: &Op) -> Answered {
        match op.text("op")? {
            "hello" => Ok(json!({"language": "rust", "version": env!("RUNNER_RUSTC")})),
            "ping" => Ok(json!({})),
            "cancel" => self.cancel(op),
            "open" => self.open(op),
            "close" => self.close(op),
            "login" => unless_cancelled(op, self.login(op)).await,
            "token" => self.token(op).await,
            "call" => unless_cancelled(op, self.call(op)).await,
            "stream" => self.stream(op).await,
            "answer" => self.answer(op).await,
            "resume" => self.resume(op).await,
            "pages" => self.pages(op).await,
            "download" => unless_cancelled(op, self.download(op)).await,
            "bench" => self.bench(op).await,
            unknown => Err(format!("no op {unknown}")),
        }
    }

    fn cancel(&self, op: &Op) -> Answered {
        let target = op.request["target"].as_u64().ok_or("cancel names no target")?;
        if let Some(cancelled) = lock(&self.running).get(&target) {
            cancelled.notify_one();
        }
        Ok(json!({}))
    }
}

async fn unless_cancelled(op: &Op, work: impl Future<Output = Answered>) -> Answered {
    tokio::select! {
        answered = work => answered,
        () = op.cancelled.notified() => Ok(outcome::cancelled()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One line, whole, whoever else writes.
fn write(line: &Value) {
    let mut text = line.to_string();
    text.push('\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(1);
    }
}
