//! Files that come in pieces, checked against what the server tells.

use std::fmt;

use bytes::{Buf, Bytes};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    CallOptions, Client, Error, Method, Reconnect, Streaming, client::decoded,
    image::v1::DownloadImageResponse, speech::v1::DownloadAudioResponse, stream::Pull,
};

type Parts = (Bytes, String, u64, String);

/// A piece of a file. The first one has `content_type` and `total_bytes` as well, the last one `sha256` and no chunk.
pub trait Piece: Message + Default {
    /// The chunk, `content_type`, `total_bytes`, `sha256`.
    fn into_parts(self) -> Parts;
}

macro_rules! piece {
    ($kind:ty) => {
        impl Piece for $kind {
            fn into_parts(self) -> Parts {
                let total_bytes = self.total_bytes.try_into().unwrap_or_default();
                (self.chunk.into(), self.content_type, total_bytes, self.sha256)
            }
        }
    };
}

piece!(DownloadImageResponse);
piece!(DownloadAudioResponse);

/// A file on its way, each byte once and in order. When the connection breaks, it goes on where it broke off.
///
/// The file is whole, its length and its SHA-256 what the server told, when `next` gives None. Where they differ it fails with
/// `DataLoss`, and what has come is not to be trusted.
#[must_use = "a file is asked for by `next` or `bytes`"]
pub struct Download {
    pull: Pull,
    method: Method,
    request: Bytes,
    piece: fn(Bytes) -> Result<Parts, Error>,
    digest: Sha256,
    size: u64,
    arrived: u64,
    content_type: String,
    total_bytes: u64,
    sha256: String,
    ended: bool,
}

impl Client {
    /// Asks for an image or audio.
    pub fn download<R>(&self, request: R) -> Download
    where
        R: Streaming,
        R::Response: Piece,
    {
        self.download_with(request, CallOptions::default())
    }

    /// Asks for an image or audio, with options; the timeout is for the whole file.
    pub fn download_with<R>(&self, request: R, options: CallOptions) -> Download
    where
        R: Streaming,
        R::Response: Piece,
    {
        Download {
            pull: Pull::new(self.clone(), R::METHOD, options.timeout, options.metadata),
            method: R::METHOD,
            request: request.encode_to_vec().into(),
            piece: |message| Ok(decoded::<R::Response>(message)?.into_parts()),
            digest: Sha256::new(),
            size: 0,
            arrived: 0,
            content_type: String::new(),
            total_bytes: 0,
            sha256: String::new(),
            ended: false,
        }
    }
}

impl Download {
    /// Calls `listener` each time the connection has broken and is about to be sought again. A server that is gone for
    /// good is sought for about a minute since the last bytes ([`Retries`](crate::Retries)).
    pub fn on_reconnect(mut self, listener: impl FnMut(&Reconnect) + Send + 'static) -> Self {
        self.pull.listener = Some(Box::new(listener));
        self
    }

    /// The next bytes; None when the file is whole, and after a failure. Dropping the future of `next`, as `select!` does, loses
    /// nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.ended {
            let failure = match self.pull.next(self.method, &self.request).await {
                Ok(Some(message)) => match self.take(message) {
                    Ok(None) => continue,
                    new => return new.map_err(|failure| self.end(failure)),
                },
                Ok(None) if !self.sha256.is_empty() => break,
                Ok(None) => Error::unreachable("the stream ended before the file did"),
                Err(_) if !self.sha256.is_empty() => break,
                Err(failure) => failure,
            };
            self.pull.recover(failure).map_err(|failure| self.end(failure))?;
            self.arrived = 0;
        }
        self.ended = true;
        Ok(None)
    }

    fn end(&mut self, failure: Error) -> Error {
        self.pull.stop();
        self.ended = true;
        self.pull.tried(failure)
    }

    /// All bytes that have not come yet together: the file, when none has.
    pub async fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The bytes of a message that are new: each call brings the same from the beginning.
    fn take(&mut self, message: Bytes) -> Result<Option<Bytes>, Error> {
        let (mut chunk, content_type, total_bytes, sha256) = (self.piece)(message)?;
        if self.total_bytes == 0 {
            (self.content_type, self.total_bytes) = (content_type, total_bytes);
        }
        let known = (self.size - self.arrived).min(chunk.len() as u64);
        self.arrived += chunk.len() as u64;
        chunk.advance(known as usize);
        self.size += chunk.len() as u64;
        self.digest.update(&chunk);
        let another_length = total_bytes != 0 && total_bytes != self.total_bytes;
        if another_length || self.arrived > self.total_bytes {
            return Err(self.of_another_length());
        }
        if !sha256.is_empty() {
            if self.arrived != self.total_bytes {
                return Err(self.of_another_length());
            }
            if sha256 != format!("{:x}", self.digest.clone().finalize()) {
                return Err(Error::broken("the file's SHA-256 is not the one that the server tells"));
            }
            self.sha256 = sha256;
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        self.pull.progressed();
        Ok(Some(chunk))
    }

    fn of_another_length(&self) -> Error {
        Error::broken(format!("the file is not the {} bytes that were announced", self.total_bytes))
    }

    /// Such as `image/png`; empty until the first bytes have come.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// How many bytes it has; 0 until the first ones have come.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The digest of the whole in lower-case hexadecimal digits, once it has come and was found right; empty before.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How often a call was made.
    pub fn tries(&self) -> u32 {
        self.pull.tries
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("size", &self.size)
            .field("total_bytes", &self.total_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, image::v1::DownloadImageRequest};

    #[tokio::test]
    async fn a_file_that_is_not_what_was_announced_is_refused() {
        let right = format!("{:x}", Sha256::digest(b"abc"));
        let client = Client::new("127.0.0.1:1").unwrap();
        for (total_bytes, sha256, whole) in
            [(3, &right, true), (2, &right, false), (4, &right, false), (3, &"0".repeat(64), false)]
        {
            let mut download = client.download(DownloadImageRequest::default());
            let first = DownloadImageResponse { chunk: b"abc".into(), total_bytes, ..Default::default() };
            let last = DownloadImageResponse { sha256: sha256.clone(), ..Default::default() };
            let first = download.take(first.encode_to_vec().into());
            let taken = first.and_then(|_| download.take(last.encode_to_vec().into()));
            assert_eq!(taken.err().map(|failure| failure.code), (!whole).then_some(Code::DataLoss));
        }
    }
}
