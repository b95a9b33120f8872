//! Files that come in pieces, checked against what the server tells.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    CallOptions, Client, Error, Streaming,
    client::decoded,
    image::v1::DownloadImageResponse,
    speech::v1::DownloadAudioResponse,
    stream::{Pull, broken_record},
};

/// A piece of a file. The first one has `content_type` and `total_bytes` as well, the last one `sha256` and no chunk.
pub trait Piece: Message + Default {
    /// The file in pieces.
    fn into_parts(self) -> (Bytes, String, i64, String);
}

macro_rules! piece {
    ($kind:ty) => {
        impl Piece for $kind {
            fn into_parts(self) -> (Bytes, String, i64, String) {
                (self.chunk.into(), self.content_type, self.total_bytes, self.sha256)
            }
        }
    };
}

piece!(DownloadImageResponse);
piece!(DownloadAudioResponse);

/// A file that is whole: its length and its SHA-256 are what the server told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Download {
    /// The file.
    pub bytes: Vec<u8>,
    /// Such as `image/png`.
    pub content_type: String,
    /// Lower-case hexadecimal digits.
    pub sha256: String,
    /// How often the call was made.
    pub tries: u32,
}

impl Client {
    /// Fetches an image or audio. When the connection breaks, it is fetched again.
    pub async fn download<R>(&self, request: R) -> Result<Download, Error>
    where
        R: Streaming,
        R::Response: Piece,
    {
        self.download_with(request, CallOptions::default()).await
    }

    /// Fetches an image or audio, with options.
    pub async fn download_with<R>(&self, request: R, options: CallOptions) -> Result<Download, Error>
    where
        R: Streaming,
        R::Response: Piece,
    {
        let request = request.encode_to_vec().into();
        let mut pull = Pull::new(self.clone(), R::METHOD, options.timeout, options.metadata);
        loop {
            match whole::<R>(&mut pull, &request).await {
                Ok(download) => return Ok(download),
                Err(failure) => {
                    pull.recover(failure).await?;
                }
            }
        }
    }
}

async fn whole<R>(pull: &mut Pull, request: &Bytes) -> Result<Download, Error>
where
    R: Streaming,
    R::Response: Piece,
{
    let mut download = Download::default();
    let mut total = 0;
    while let Some(message) = pull.next(R::METHOD, request).await? {
        let (chunk, content_type, total_bytes, sha256) = decoded::<R::Response>(message)?.into_parts();
        download.bytes.extend_from_slice(&chunk);
        total = total.max(total_bytes);
        if !content_type.is_empty() {
            download.content_type = content_type;
        }
        if !sha256.is_empty() {
            download.sha256 = sha256;
        }
    }
    if download.sha256.is_empty() {
        return Err(Error::unreachable("the download ended before the file did"));
    }
    if total != download.bytes.len() as i64 || download.sha256 != digest(&download.bytes) {
        return Err(broken_record("the file is not what the server told".to_owned()));
    }
    download.tries = pull.tries;
    Ok(download)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
