//! Tokens of a login session, and when they are renewed.

use std::{
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// How long before its end an access token is renewed.
const REFRESH_BEFORE: Duration = Duration::from_secs(30);

/// Why a token is refused that a renewal may help with. A revoked one, too: a person whose role has changed gets a new one. An
/// invalid one, because its signing key may have been dropped since it was signed.
pub(crate) const RENEWS: [&str; 3] = ["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REVOKED"];

/// A pair of tokens. Without a refresh token the access token, which may be an API key, is used as long as the server takes it.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) ends: Option<Instant>,
}

impl Tokens {
    /// The tokens that a login or a refresh gave just now.
    pub(crate) fn new(access: String, refresh: String) -> Self {
        // Counted by the token's own lifetime, the end is right even where this machine's clock is wrong.
        let ends = lifetime(&access).and_then(|lifetime| Instant::now().checked_add(lifetime));
        Self { access, refresh, ends }
    }

    /// Whether the access token can be sent as it is, given that the server has `rejected` one (empty: none).
    pub(crate) fn usable(&self, rejected: &str) -> bool {
        self.refresh.is_empty() || self.lives(rejected, REFRESH_BEFORE)
    }

    /// Whether the access token can be sent when renewing it does not work out.
    pub(crate) fn still_good(&self, rejected: &str) -> bool {
        self.lives(rejected, Duration::ZERO)
    }

    fn lives(&self, rejected: &str, margin: Duration) -> bool {
        !self.access.is_empty()
            && self.access != rejected
            && self.ends.is_none_or(|ends| ends.saturating_duration_since(Instant::now()) > margin)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// Only to know how long; whether the token is genuine is the server's business.
fn lifetime(jwt: &str) -> Option<Duration> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims = String::from_utf8(payload).ok()?;
    let seconds = number(&claims, "\"exp\"")?.checked_sub(number(&claims, "\"iat\"")?)?;
    Some(Duration::from_secs(seconds))
}

fn number(claims: &str, key: &str) -> Option<u64> {
    let rest = claims.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_its_lifetime() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"ana","iat":1000,"exp": 1900}"#);
        assert_eq!(lifetime(&format!("e30.{claims}.c2ln")), Some(Duration::from_secs(900)));
        assert_eq!(lifetime("ak_secret"), None);
    }

    #[test]
    fn a_rejected_token_is_not_sent_again() {
        let tokens = Tokens { access: "a".into(), refresh: "r".into(), ends: None };
        assert!(tokens.usable(""));
        assert!(!tokens.usable("a"));
    }
}
