//! Answers that are not gRPC's, such as a proxy's page while the server behind it restarts.

use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    transport::{Channel, Error},
};

/// A connection whose answers are gRPC's. Of any other one the status of HTTP is told, where tonic would read its body as messages.
pub(crate) struct Guarded(pub(crate) Channel);

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match foreign(&response) {
                Some(status) => status.into_http(),
                None => response,
            })
        })
    }
}

/// What an answer that is not gRPC's means. A status of gRPC's own, wherever it comes from, is taken at its word.
fn foreign<B>(response: &Response<B>) -> Option<Status> {
    let (status, headers) = (response.status(), response.headers());
    if headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
    if status == StatusCode::OK && is_grpc(kind) {
        return None;
    }
    Some(Status::new(code(status), format!("HTTP {status} ({kind}) was answered in place of gRPC")))
}

fn is_grpc(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Client, Error, Retries, auth::v1::GetProfileRequest, chat::v1::StreamChatRequest};

    const PAGE: &str = "text/html; charset=utf-8";

    #[tokio::test]
    async fn a_page_is_told_by_its_http_status() {
        for (status, code, tries) in [
            (400, Code::Internal, 1),
            (401, Code::Unauthenticated, 1),
            (403, Code::PermissionDenied, 1),
            (404, Code::Unimplemented, 1),
            (429, Code::Unavailable, 3),
            (500, Code::Unknown, 1),
            (502, Code::Unavailable, 3),
            (503, Code::Unavailable, 3),
            (504, Code::Unavailable, 3),
            (200, Code::Unknown, 1),
        ] {
            let client = client_of(page(status, PAGE)).await;
            let failure = client.call(GetProfileRequest {}).await.unwrap_err();
            assert_told(&failure, status, code, tries);
            let failure = client.answer(StreamChatRequest::default()).next().await.unwrap_err();
            assert_told(&failure, status, code, tries);
        }
    }

    #[tokio::test]
    async fn a_page_that_calls_itself_grpc_is_none_the_less_a_page() {
        let client = client_of(page(502, "application/grpc")).await;
        let failure = client.call(GetProfileRequest {}).await.unwrap_err();
        assert_told(&failure, 502, Code::Unavailable, 3);
    }

    #[tokio::test]
    async fn a_proxy_that_speaks_grpc_is_taken_at_its_word() {
        let mut answer = page(503, PAGE);
        answer.headers_mut().insert("grpc-status", "7".parse().unwrap());
        let failure = client_of(answer).await.call(GetProfileRequest {}).await.unwrap_err();
        assert_eq!(failure.code, Code::PermissionDenied);
    }

    #[test]
    fn grpc_has_its_own_content_types() {
        for kind in
            ["application/grpc", "application/grpc+proto", "application/grpc; x=y", "Application/gRPC"]
        {
            assert!(is_grpc(kind), "{kind}");
        }
        for kind in ["", "text/html", "application/grpc-web+proto", "application/json"] {
            assert!(!is_grpc(kind), "{kind}");
        }
    }

    fn assert_told(failure: &Error, status: u16, code: Code, tries: u32) {
        assert_eq!((failure.code, failure.tries, failure.reason.as_str()), (code, tries, ""), "{failure}");
        assert!(failure.message.contains(&format!("HTTP {status}")), "{failure}");
    }

    fn page(status: u16, kind: &str) -> Response<()> {
        Response::builder().status(status).header(CONTENT_TYPE, kind).body(()).unwrap()
    }

    /// A client of a server that gives one answer to all.
    async fn client_of(answer: Response<()>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let mut body = respond.send_response(answer.clone(), false).unwrap();
                body.send_data(Bytes::from_static(b"<html>Bad Gateway</html>"), true).unwrap();
            }
        });
        let retries = Retries { attempts: 3, first_delay: Duration::from_millis(1), ..Retries::default() };
        Client::builder(address).retries(retries).build().unwrap()
    }
}
