//! Where the server listens, and how the connection to it is protected.

use std::{error::Error, fmt, net::IpAddr, time::Duration};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const HOW_TO_WRITE: &str = "write host:port, http://host:port or https://host:port";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// How a connection is protected. All are PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates of the authorities to trust; the system's when there are none.
    pub roots: Option<Vec<u8>>,
    /// The caller's certificate and its key, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// What the server's certificate is checked for when that is not the address's host.
    pub server_name: Option<String>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// An address, or what protects it, that can't be used.
pub struct AddressError(String);

impl fmt::Debug for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AddressError {}

/// Whom a client calls, as failures tell it.
pub(crate) struct Target {
    server: String,
    protected: bool,
}

impl Target {
    pub(crate) fn lost(&self, why: &str) -> String {
        let how = if self.protected { "over TLS" } else { "in plain text" };
        format!("{} can't be reached {how}: {why}", self.server)
    }

    pub(crate) fn late(&self) -> String {
        format!("{} did not answer in time", self.server)
    }
}

/// A connection to `server`, made by the first call: `host:port`, `http://host:port` or `https://host:port`.
///
/// Without a scheme and without `tls`, loopback is spoken to in plain text and everything else over TLS, so that no token
/// travels in the open unless that was asked for by name.
pub(crate) fn channel(server: &str, tls: Option<&Tls>) -> Result<(Channel, Target), AddressError> {
    let wrong = |text: &dyn fmt::Display| AddressError(format!("{server:?}: {text}"));
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
        Some(_) => return Err(wrong(&HOW_TO_WRITE)),
        None => (None, server),
    };
    if scheme == Some("http") && tls.is_some() {
        return Err(wrong(&"http:// means plain text, yet TLS was asked for"));
    }
    let protected = match scheme {
        Some(scheme) => scheme == "https",
        None => tls.is_some() || !is_loopback(rest),
    };
    let uri = format!("{}://{rest}", if protected { "https" } else { "http" });
    let uri: Uri = uri.parse().map_err(|_| wrong(&HOW_TO_WRITE))?;
    if (scheme.is_none() && uri.port().is_none()) || uri.path_and_query().is_some_and(|path| path != "/") {
        return Err(wrong(&HOW_TO_WRITE));
    }
    let mut endpoint = Endpoint::from(uri)
        .user_agent("antiphon-rust")
        .map_err(|error| wrong(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        // A stream that is not read fills its own window, and must leave room in the connection's for all others.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if protected {
        let tls = tls.cloned().unwrap_or_default();
        if tls.roots.as_deref().is_some_and(lacks_certificate) {
            return Err(wrong(&"the roots hold no certificate in PEM"));
        }
        if tls.identity.as_ref().is_some_and(|(certificate, _)| lacks_certificate(certificate)) {
            return Err(wrong(&"the identity holds no certificate in PEM"));
        }
        endpoint = endpoint.tls_config(config(tls)).map_err(|error| wrong(&unusable(&error)))?;
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // Given a connector, tonic counts the handshake of TLS into the time to connect; left alone, a server that keeps silent
    // there would be waited for without end.
    Ok((endpoint.connect_with_connector_lazy(tcp), Target { server: server.to_owned(), protected }))
}

fn config(tls: Tls) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new();
    config = match tls.roots {
        Some(roots) => config.ca_certificate(Certificate::from_pem(roots)),
        None => config.with_native_roots(),
    };
    if let Some((certificate, key)) = tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    match tls.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    }
}

fn lacks_certificate(pem: &[u8]) -> bool {
    !String::from_utf8_lossy(pem).contains(CERTIFICATE)
}

/// tonic's own text is that something is wrong; its sources tell what.
fn unusable(error: &tonic::transport::Error) -> String {
    let mut text = "the roots or the identity can't be used".to_owned();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_alone_is_plain() {
        for local in ["localhost:1", "127.0.0.1:1", "[::1]:1"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in ["example.com:1", "10.0.0.1:1", "localhost.example.com:1"] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }

    #[test]
    fn plain_text_and_tls_contradict_each_other() {
        assert!(refusal("http://127.0.0.1:1", Some(&Tls::default())).contains("plain text"));
    }

    #[test]
    fn an_address_that_means_nothing_is_told_how_to_write_one() {
        for server in
            ["", "localhost", "ftp://x:1", "unix:/tmp/x", "::1:1", "x:99999", "a b:1", "http://x:1/path"]
        {
            assert!(refusal(server, None).contains(HOW_TO_WRITE), "{server}");
        }
    }

    #[test]
    fn roots_that_are_no_certificates_are_refused() {
        let tls = Tls { roots: Some(b"ca.pem".to_vec()), ..Tls::default() };
        assert!(refusal("https://127.0.0.1:1", Some(&tls)).contains("no certificate"));
    }

    #[test]
    fn an_identity_that_is_none_is_refused_with_the_reason() {
        for (certificate, reason) in [
            ("client.pem", "holds no certificate"),
            (CERTIFICATE, "can't be used: Error parsing TLS certificate"),
        ] {
            let identity = Some((certificate.into(), b"client.key".to_vec()));
            let refusal = refusal("https://127.0.0.1:1", Some(&Tls { identity, ..Tls::default() }));
            assert!(refusal.contains(reason), "{refusal}");
        }
    }

    fn refusal(server: &str, tls: Option<&Tls>) -> String {
        channel(server, tls).err().map_or(String::new(), |failure| failure.to_string())
    }
}
