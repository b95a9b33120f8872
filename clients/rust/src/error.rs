//! How a call can fail.

use std::{collections::HashMap, fmt, ops::Deref, time::Duration};

use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::StatusExt;

use crate::{address::Target, errors::v1::ErrorReason};

/// A call that failed. It reads as its [`Failure`].
///
/// Debug tells the same as Display, since a `main` that returns it shows that; `{:#?}` shows every field.
#[derive(Clone)]
pub struct Error(Box<Failure>);

/// What is known of a failed call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The canonical status code.
    pub code: Code,
    /// An `antiphon.errors.v1.ErrorReason` without its prefix; empty when the failure is not the server's own word.
    pub reason: String,
    /// Whose word the reason is: `antiphon`.
    pub domain: String,
    /// For people.
    pub message: String,
    /// The reason's strings.
    pub metadata: HashMap<String, String>,
    /// Fields that break their rules.
    pub violations: Vec<Violation>,
    /// When to come again, where the server tells.
    pub retry_after: Option<Duration>,
    /// Limits that were reached.
    pub quotas: Vec<Quota>,
    /// What was not found, or exists already.
    pub resource: Option<Resource>,
    /// Finds the call in the server's log.
    pub request_id: String,
    /// How often the call was tried.
    pub tries: u32,
    /// What came behind the answer.
    pub trailers: MetadataMap,
    /// What the first try met, where the last one met something else.
    pub earlier: Option<Error>,
    pub(crate) broken: bool,
}

/// A field that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field.
    pub field: String,
    /// The rule, for people.
    pub description: String,
}

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// For whom, or for what.
    pub subject: String,
    /// Which.
    pub description: String,
}

/// What a failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Such as `chat.session`.
    pub kind: String,
    /// Its id.
    pub name: String,
}

impl Error {
    /// A failure that is not the server's word.
    pub(crate) fn local(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            code,
            reason: String::new(),
            domain: String::new(),
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry_after: None,
            quotas: Vec::new(),
            resource: None,
            request_id: String::new(),
            tries: 1,
            trailers: MetadataMap::new(),
            earlier: None,
            broken: false,
        }))
    }

    /// No server answered, or the connection broke.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        let mut error = Self::local(Code::Unavailable, message);
        error.0.broken = true;
        error
    }

    /// Time ran out.
    pub(crate) fn late(target: &Target) -> Self {
        Self::local(Code::DeadlineExceeded, target.late())
    }

    /// What was sent contradicts itself, or what was sent before.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::local(Code::DataLoss, message)
    }

    pub(crate) fn of(status: Status, target: &Target) -> Self {
        // A status with a source was made on this side: the connection gave up, and tonic's codes for that differ.
        let source = std::error::Error::source(&status).map(innermost);
        let details = status.get_error_details();
        let info = details.error_info();
        let mut error = Self::local(status.code(), status.message());
        let failure = &mut *error.0;
        if let Some(info) = info {
            failure.reason.clone_from(&info.reason);
            failure.domain.clone_from(&info.domain);
            failure.metadata.clone_from(&info.metadata);
        } else if let Some(source) = source {
            if !matches!(failure.code, Code::ResourceExhausted | Code::PermissionDenied) {
                failure.code = Code::Unavailable;
                failure.broken = true;
            }
            failure.message = target.lost(&source);
        }
        if let Some(bad) = details.bad_request() {
            let violations = bad.field_violations.iter();
            failure.violations = violations
                .map(|v| Violation { field: v.field.clone(), description: v.description.clone() })
                .collect();
        }
        if let Some(quota) = details.quota_failure() {
            let violations = quota.violations.iter();
            failure.quotas = violations
                .map(|v| Quota { subject: v.subject.clone(), description: v.description.clone() })
                .collect();
        }
        failure.retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
        failure.resource = details
            .resource_info()
            .map(|about| Resource { kind: about.resource_type.clone(), name: about.resource_name.clone() });
        failure.trailers = status.metadata().clone();
        let id = failure.trailers.get("x-request-id").and_then(|id| id.to_str().ok());
        failure.request_id =
            id.or(failure.metadata.get("request_id").map(String::as_str)).unwrap_or_default().to_owned();
        error
    }

    pub(crate) fn edit(&mut self) -> &mut Failure {
        &mut self.0
    }

    /// The reason as a value; None when it is not the server's word, or newer than this client.
    pub fn reason_value(&self) -> Option<ErrorReason> {
        ErrorReason::from_str_name(&format!("ERROR_REASON_{}", self.reason))
    }
}

/// What an error comes from in the end: the texts above it say little.
pub(crate) fn innermost<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}", self.message, self.code)?;
        if !self.reason.is_empty() {
            write!(f, ", {}", self.reason)?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.0.fmt(f) } else { fmt::Display::fmt(self, f) }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_shows_one_line() {
        let error = Error::local(Code::NotFound, "no such session");
        assert_eq!(format!("{error:?}"), "no such session (NotFound)");
        assert!(format!("{error:#?}").contains("retry_after"));
    }
}
