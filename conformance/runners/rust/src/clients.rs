//! Clients by name: opened, logged in, closed.

use std::{fs, time::Duration};

use antiphon_client::{Client, Retries, Tls};
use serde_json::{Value, json};

use crate::{Answered, Op, Runner, lock, messages, outcome};

impl Runner {
    /// The client that an op names.
    pub fn client(&self, op: &Op) -> Result<Client, String> {
        let name = op.text("client")?;
        lock(&self.clients).get(name).cloned().ok_or_else(|| format!("no client {name}"))
    }

    pub fn open(&self, op: &Op) -> Answered {
        let mut builder = Client::builder(op.text("address")?);
        if let Some(tls) = op.request.get("tls").filter(|tls| tls.is_object()) {
            builder = builder.tls(protection(tls)?);
        }
        if let Some(token) = op.request["token"].as_str() {
            builder = builder.token(token);
        }
        if let Some(token) = op.request["refresh_token"].as_str() {
            builder = builder.refresh_token(token);
        }
        if let Some(tries) = op.request["retries"].as_u64() {
            let attempts = u32::try_from(tries).map_err(|_| "too many retries")?;
            builder = builder.retries(Retries { attempts, resume_attempts: attempts, ..Retries::default() });
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        lock(&self.clients).insert(op.text("client")?.to_owned(), client);
        Ok(json!({}))
    }

    pub fn close(&self, op: &Op) -> Answered {
        lock(&self.clients).remove(op.text("client")?);
        Ok(json!({}))
    }

    pub async fn login(&self, op: &Op) -> Answered {
        let client = self.client(op)?;
        match client.login(op.text("email")?, op.text("password")?).await {
            Ok(user) => Ok(json!({"ok": true, "user": messages::json_of("antiphon.auth.v1.User", &user)?})),
            Err(error) => Ok(outcome::failed(&error)),
        }
    }

    pub async fn token(&self, op: &Op) -> Answered {
        match self.client(op)?.access_token().await {
            Ok(token) => Ok(json!({"access_token": token})),
            Err(error) => Ok(outcome::failed(&error)),
        }
    }
}

fn protection(tls: &Value) -> Result<Tls, String> {
    let read = |field: &str| {
        let path = tls[field].as_str();
        path.map(|path| fs::read(path).map_err(|error| format!("{path}: {error}"))).transpose()
    };
    Ok(Tls {
        roots: read("ca")?,
        identity: read("certificate")?.zip(read("key")?),
        server_name: tls["server_name"].as_str().map(str::to_owned),
    })
}

/// How the op's call is made.
pub fn options(op: &Op) -> antiphon_client::CallOptions {
    let metadata = op.request["metadata"].as_object();
    let texts = metadata.into_iter().flatten();
    antiphon_client::CallOptions {
        timeout: op.request["deadline_ms"].as_u64().map(Duration::from_millis),
        metadata: texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
    }
}
