//! Where the server listens, and how the connection to it is protected.

use std::{fmt, net::IpAddr, time::Duration};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

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
#[derive(Debug)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

/// A connection to `server`, made by the first call: `host:port`, `http://host:port` or `https://host:port`.
///
/// Without a scheme and without `tls`, loopback is spoken to in plain text and everything else over TLS, so that no token
/// travels in the open unless that was asked for by name.
pub(crate) fn channel(server: &str, tls: Option<&Tls>) -> Result<Channel, AddressError> {
    let wrong = |text: &dyn fmt::Display| AddressError(format!("{server}: {text}"));
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
        Some(_) => return Err(wrong(&"write host:port, http://host:port or https://host:port")),
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
    let mut endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| endpoint.user_agent("antiphon-rust"))
        .map_err(|error| wrong(&error))?
        .connect_timeout(Duration::from_secs(10))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .http2_adaptive_window(true);
    if protected {
        let tls = tls.cloned().unwrap_or_default();
        endpoint = endpoint.tls_config(config(tls)).map_err(|error| wrong(&error))?;
    }
    Ok(endpoint.connect_lazy())
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
        let failure = channel("http://127.0.0.1:1", Some(&Tls::default())).unwrap_err();
        assert!(failure.to_string().contains("plain text"));
    }
}
