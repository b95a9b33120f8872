//! A client of Antiphon: calls, answers as streams that survive, and errors that say what to do.
//!
//! A request is a value, and its type names the RPC:
//!
//! ```ignore
//! let client = Client::new("127.0.0.1:50051")?;
//! client.login(email, password).await?;
//! let profile = client.call(GetProfileRequest {}).await?;
//! ```
//!
//! [`Client::call`] takes requests with one response, [`Client::stream`] those with many, [`Client::pages`] those of lists. An
//! answer is asked for by [`Client::answer`], a file by [`Client::download`]: both go on where a connection broke. Whatever fails
//! is an [`Error`].

mod address;
mod answer;
mod call;
mod client;
mod codec;
mod download;
mod error;
mod foreign;
mod pages;
mod retry;
mod stream;
mod tokens;

pub use address::{AddressError, Tls};
pub use answer::Answer;
pub use call::{CallOptions, Method, Reply, Rpc, Streaming, Unary};
pub use client::{Builder, Client};
pub use download::{Download, Piece};
pub use error::{Error, Failure, Quota, Resource, Violation};
pub use pages::{Paged, Pages};
/// Protobuf's own types, such as `Timestamp`, which fields have.
pub use prost_types;
pub use retry::{Reconnect, Retries};
pub use stream::{Events, RawEvents};
pub use tonic::{
    Code,
    metadata::{KeyRef, MetadataMap},
};

macro_rules! package {
    ($name:ident, $about:literal, $file:literal) => {
        #[doc = $about]
        pub mod $name {
            #[doc = $about]
            #[allow(clippy::all, missing_docs, rustdoc::all)]
            pub mod v1 {
                include!($file);
            }
        }
    };
}

package!(analytics, "Usage, prices, reconciliation.", "gen/antiphon.analytics.v1.rs");
package!(auth, "Accounts, login sessions, API keys.", "gen/antiphon.auth.v1.rs");
package!(chat, "Answers, chat sessions, models.", "gen/antiphon.chat.v1.rs");
package!(errors, "Every reason that a failed call can give.", "gen/antiphon.errors.v1.rs");
package!(image, "Images, made and stored.", "gen/antiphon.image.v1.rs");
package!(options, "The policy that each RPC has.", "gen/antiphon.options.v1.rs");
package!(speech, "Speech, made and stored.", "gen/antiphon.speech.v1.rs");
package!(usage, "What calls used.", "gen/antiphon.usage.v1.rs");

mod rpcs {
    use crate::{Method, Paged, Rpc, Streaming, Unary};

    include!("gen/rpcs.rs");
}
