//! How a call ended, as the protocol tells it.

use antiphon_client::{Code, Error, MetadataMap};
use serde_json::{Map, Value, json};

/// The outcome of a call that succeeded; more fields are the caller's to add.
pub fn succeeded(headers: &MetadataMap, trailers: &MetadataMap, tries: u32) -> Value {
    json!({"ok": true, "headers": texts(headers), "trailers": texts(trailers), "tries": tries})
}

/// The outcome of a call that its caller ended.
pub fn cancelled() -> Value {
    json!({"ok": false, "error": {"code": "CANCELLED", "message": "cancelled by the caller", "reason": ""}, "tries": 1})
}

/// The outcome of a call that failed.
pub fn failed(error: &Error) -> Value {
    let mut told = Map::new();
    told.insert("code".into(), name(error.code).into());
    told.insert("message".into(), error.message.clone().into());
    told.insert("reason".into(), error.reason.clone().into());
    if !error.domain.is_empty() {
        told.insert("domain".into(), error.domain.clone().into());
    }
    if !error.metadata.is_empty() {
        told.insert("metadata".into(), json!(error.metadata));
    }
    if !error.violations.is_empty() {
        let list = error.violations.iter();
        let list: Value = list.map(|v| json!({"field": v.field, "description": v.description})).collect();
        told.insert("violations".into(), list);
    }
    if let Some(pause) = error.retry_after {
        told.insert("retry_after_ms".into(), json!(pause.as_millis() as u64));
    }
    if !error.quotas.is_empty() {
        let list = error.quotas.iter();
        let list: Value = list.map(|q| json!({"subject": q.subject, "description": q.description})).collect();
        told.insert("quotas".into(), list);
    }
    if let Some(about) = &error.resource {
        told.insert("resource".into(), json!({"type": about.kind, "name": about.name}));
    }
    json!({"ok": false, "error": told, "trailers": texts(&error.trailers), "tries": error.tries})
}

/// The first value of each key; what is no text, or gRPC's own, is left out.
fn texts(metadata: &MetadataMap) -> Value {
    let mut texts = Map::new();
    for key in metadata.keys() {
        if let antiphon_client::KeyRef::Ascii(key) = key
            && !key.as_str().starts_with("grpc-")
            && let Some(Ok(text)) = metadata.get(key).map(|value| value.to_str())
        {
            texts.insert(key.as_str().to_owned(), text.into());
        }
    }
    texts.into()
}

fn name(code: Code) -> String {
    // Ok becomes OK, NotFound becomes NOT_FOUND.
    let mut name = String::new();
    for (place, letter) in format!("{code:?}").char_indices() {
        if letter.is_uppercase() && place > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
