//! Messages as JSON and as bytes, and each through the type that the client has for it.

use std::{pin::Pin, sync::LazyLock};

use antiphon_client::{CallOptions, Client, Method, Paged, Rpc};
use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tokio::sync::Notify;

use crate::outcome;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let descriptors = include_bytes!("../../../../gen/python/antiphon/descriptors.binpb");
    DescriptorPool::decode(descriptors.as_slice()).expect("the descriptors are read as they were written")
});

/// An RPC by its name.
pub struct Known {
    pub method: Method,
    request: Option<MessageDescriptor>,
    response: Option<MessageDescriptor>,
    typed: Option<Typed>,
    /// Reads the list that the RPC is a page of.
    pub pages: Option<ReadPages>,
}

/// The pages of a list that have come, and how reading it failed.
pub struct Listed {
    pub pages: Vec<Bytes>,
    pub tries: u32,
    pub failed: Option<Value>,
}

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Listed, String>> + Send + 'a>>;
type ReadPages = for<'a> fn(Client, Bytes, CallOptions, &'a Notify) -> Reading<'a>;

fn read_pages<R: Paged>(
    client: Client,
    request: Bytes,
    options: CallOptions,
    cancelled: &Notify,
) -> Reading<'_> {
    Box::pin(async move {
        let request = R::decode(request).map_err(|error| error.to_string())?;
        let mut list = client.pages_with(request, options);
        let mut pages = Vec::new();
        let failed = loop {
            let next = tokio::select! {
                next = list.next() => next,
                () = cancelled.notified() => break Some(outcome::cancelled()),
            };
            match next {
                Ok(Some(page)) => pages.push(page.encode_to_vec().into()),
                Ok(None) => break None,
                Err(error) => break Some(outcome::failed(&error)),
            }
        };
        Ok(Listed { pages, tries: list.tries(), failed })
    })
}

/// Bytes through the types of an RPC, so that what a type loses shows.
#[derive(Clone, Copy)]
struct Typed {
    method: Method,
    request: fn(Bytes, bool) -> Result<Bytes, String>,
    response: fn(Bytes) -> Result<Bytes, String>,
}

fn typed<R: Rpc>() -> Typed {
    Typed {
        method: R::METHOD,
        request: |bytes, identify| {
            let mut request = R::decode(bytes).map_err(|error| error.to_string())?;
            if identify {
                request.identify();
            }
            Ok(request.encode_to_vec().into())
        },
        response: |bytes| {
            let response = R::Response::decode(bytes).map_err(|error| error.to_string())?;
            Ok(response.encode_to_vec().into())
        },
    }
}

macro_rules! table {
    ($($name:literal => $request:ty,)*) => {
        fn typed_by(name: &str) -> Option<Typed> {
            match name {
                $($name => Some(typed::<$request>()),)*
                _ => None,
            }
        }
    };
}

macro_rules! lists {
    ($($name:literal => $request:ty,)*) => {
        fn pages_by(name: &str) -> Option<ReadPages> {
            match name {
                $($name => Some(read_pages::<$request>),)*
                _ => None,
            }
        }
    };
}

include!("gen/methods.rs");

impl Known {
    /// The RPC `antiphon.chat.v1.ChatService/Chat`. One that the contract does not have is called with an empty message.
    pub fn by(name: &str) -> Self {
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        let service = POOL.get_service_by_name(service);
        let found = service.and_then(|service| service.methods().find(|each| each.name() == method));
        let typed = typed_by(name);
        // A name is told a few times in a run, so what is leaked is little.
        let path: &'static str = format!("/{name}").leak();
        Self {
            method: typed.map_or(Method { path, idempotent: false, public: false }, |typed| typed.method),
            request: found.as_ref().map(|method| method.input()),
            response: found.as_ref().map(|method| method.output()),
            typed,
            pages: pages_by(name),
        }
    }

    /// The RPC, made with this request: one whose `request_id` is left empty is protected from nothing.
    pub fn method_with(&self, json: &Value) -> Method {
        let given = json.get("request_id").or(json.get("requestId"));
        let idempotent = self.method.idempotent && given.is_none_or(|id| id != "");
        Method { idempotent, ..self.method }
    }

    /// The request as it travels, with a `request_id` unless the case gives one, be it an empty one.
    pub fn request(&self, json: &Value) -> Result<Bytes, String> {
        let given = json.get("request_id").or(json.get("requestId")).is_some();
        let Some(kind) = &self.request else {
            return Ok(Bytes::new());
        };
        let bytes = bytes_of(kind.clone(), json)?;
        self.typed.map_or(Ok(bytes.clone()), |typed| (typed.request)(bytes, !given))
    }

    /// The response as JSON.
    pub fn response(&self, bytes: Bytes) -> Result<Value, String> {
        let Some(kind) = &self.response else {
            return Ok(Value::Object(Default::default()));
        };
        let bytes = self.typed.map_or(Ok(bytes.clone()), |typed| (typed.response)(bytes))?;
        json_from(kind.clone(), bytes)
    }
}

/// A message of a type, from JSON.
pub fn typed_of<M: Message + Default>(kind: &str, json: &Value) -> Result<M, String> {
    M::decode(bytes_of(descriptor(kind)?, json)?).map_err(|error| error.to_string())
}

/// A message as JSON.
pub fn json_of<M: Message>(kind: &str, message: &M) -> Result<Value, String> {
    json_from(descriptor(kind)?, message.encode_to_vec().into())
}

fn bytes_of(kind: MessageDescriptor, json: &Value) -> Result<Bytes, String> {
    let json = if json.is_null() { &Value::Object(Default::default()) } else { json };
    let name = kind.full_name().to_owned();
    let message = DynamicMessage::deserialize(kind, json);
    let message = message.map_err(|error| format!("no {name}: {error}"))?;
    Ok(message.encode_to_vec().into())
}

fn json_from(kind: MessageDescriptor, bytes: Bytes) -> Result<Value, String> {
    let message = DynamicMessage::decode(kind, bytes).map_err(|error| error.to_string())?;
    message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .map_err(|error| error.to_string())
}

fn descriptor(kind: &str) -> Result<MessageDescriptor, String> {
    POOL.get_message_by_name(kind).ok_or_else(|| format!("no message {kind}"))
}
