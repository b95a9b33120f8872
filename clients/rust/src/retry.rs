//! When a failed call is tried again, and after what pause. Decides; never waits.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::{Error, address::Target};

/// How often a call that may safely be repeated is tried, and how long the pauses are.
///
/// A pause begins with `first_delay`, doubles up to `max_delay`, and loses up to half of itself by chance. A server that asks
/// for a longer pause than `max_delay` is not waited for.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Tries of a call, and of a stream until its first event.
    pub attempts: u32,
    /// Tries of an answer or a download since something last came: by default about a minute of them, longer than a server
    /// takes to start again.
    pub resume_attempts: u32,
    /// The first pause.
    pub first_delay: Duration,
    /// The longest pause.
    pub max_delay: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 5,
            resume_attempts: 24,
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
        }
    }
}

/// What is told before a connection is sought again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reconnect {
    /// What the last try met.
    pub failure: Error,
    /// Which try since something last came this will be, counted from 1.
    pub attempt: u32,
    /// How long until then.
    pub pause: Duration,
}

/// The end of a call's time, tries and pauses included; None for no limit.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    pub(crate) fn remaining(self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// What `work` gives; the failure of a call that is too late when time runs out before.
    pub(crate) async fn bounds<T>(
        self,
        target: &Target,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(end) = self.0 else {
            return work.await;
        };
        match tokio::time::timeout_at(end, work).await {
            // tonic's own clock may be a little ahead of this one.
            Ok(Err(error))
                if error.reason.is_empty()
                    && end.saturating_duration_since(Instant::now()) < Duration::from_millis(5)
                    && matches!(error.code, Code::Cancelled | Code::Unavailable) =>
            {
                Err(Error::late(target))
            }
            Ok(done) => done,
            Err(_) => Err(Error::late(target)),
        }
    }
}

/// These end a generation. One whose events have begun to arrive can't be begun anew beneath its reader.
const ENDS_A_GENERATION: [&str; 6] = [
    "GENERATION_INTERRUPTED",
    "PROVIDER_PROTOCOL",
    "PROVIDER_RATE_LIMITED",
    "PROVIDER_TIMEOUT",
    "PROVIDER_UNAVAILABLE",
    "TOO_LONG",
];

/// The tries of one call, or of a stream that goes on since something last came.
pub(crate) struct Attempts {
    retries: Retries,
    deadline: Deadline,
    repeatable: bool,
    provider_is_final: bool,
    first: Option<Error>,
    failed: u32,
    begun: bool,
    may_be_done: bool,
}

impl Attempts {
    /// With `provider_is_final`, what a provider was asked for in vain is not asked for again: each time may have its price.
    pub(crate) fn new(
        retries: &Retries,
        deadline: Deadline,
        repeatable: bool,
        provider_is_final: bool,
    ) -> Self {
        Self {
            retries: retries.clone(),
            deadline,
            repeatable,
            provider_is_final,
            first: None,
            failed: 0,
            begun: false,
            may_be_done: false,
        }
    }

    /// Something new has arrived, so the count of tries starts again.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
        self.first = None;
        self.begun = true;
    }

    /// The pause before the next try; the failure when there is none, with what the first try met.
    pub(crate) fn after(&mut self, failure: Error) -> Result<Duration, Error> {
        self.failed += 1;
        let limit = if self.begun { self.retries.resume_attempts } else { self.retries.attempts };
        if !self.repeatable || self.failed >= limit || !self.may_pass(&failure) {
            return Err(self.told(failure));
        }
        let doubled = self.retries.first_delay.saturating_mul(2u32.pow(self.failed.min(16) - 1));
        let mut pause = doubled.min(self.retries.max_delay).mul_f64(1.0 - fastrand::f64() / 2.0);
        pause = pause.max(failure.retry_after.unwrap_or_default());
        if self.deadline.remaining().is_some_and(|left| left <= pause) {
            return Err(self.told(failure));
        }
        // A limit is told before anything is done; of every other failure that may pass the server may have done its part.
        self.may_be_done |= failure.code != Code::ResourceExhausted;
        self.first.get_or_insert(failure);
        Ok(pause)
    }

    /// How many tries have failed since something last arrived.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// Whether a call that removes something has done so: an earlier try, whose answer got lost, may be why it is gone.
    pub(crate) fn removed(&self, failure: &Error) -> bool {
        self.may_be_done && failure.code == Code::NotFound
    }

    fn told(&mut self, mut failure: Error) -> Error {
        let earlier = self.first.take().filter(|first| first.message != failure.message);
        failure.edit().earlier = earlier;
        failure
    }

    /// The server's own failures carry a reason; without one, something between here and there has ended the call.
    fn looks_broken(&self, code: Code) -> bool {
        match code {
            Code::Unavailable | Code::Cancelled => true,
            Code::Internal | Code::Unknown => self.begun,
            _ => false,
        }
    }

    fn may_pass(&self, failure: &Error) -> bool {
        if failure.retry_after.is_some_and(|pause| pause > self.retries.max_delay) {
            return false;
        }
        let reason = failure.reason.as_str();
        if reason.is_empty() {
            return failure.broken || self.looks_broken(failure.code);
        }
        if self.begun && ENDS_A_GENERATION.contains(&reason) {
            return false;
        }
        if self.provider_is_final && asked_in_vain(reason) {
            return false;
        }
        failure.code == Code::Unavailable
            || (failure.retry_after.is_some()
                && matches!(failure.code, Code::ResourceExhausted | Code::Aborted))
    }
}

fn asked_in_vain(reason: &str) -> bool {
    reason.starts_with("PROVIDER_") || reason.ends_with("_UNUSABLE") || reason.ends_with("_NOT_STORED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(attempts: u32, repeatable: bool) -> Attempts {
        let retries = Retries { attempts, ..Retries::default() };
        Attempts::new(&retries, Deadline::after(None), repeatable, false)
    }

    #[test]
    fn what_may_not_be_repeated_is_tried_once() {
        assert!(attempts(5, false).after(Error::unreachable("gone")).is_err());
    }

    #[test]
    fn the_first_failure_is_told_beside_another_last_one() {
        let mut tries = attempts(2, true);
        tries.after(Error::unreachable("first")).unwrap();
        let failure = tries.after(Error::unreachable("second")).unwrap_err();
        assert_eq!(failure.earlier.as_ref().unwrap().message, "first");
    }

    #[test]
    fn a_long_pause_is_not_waited_for() {
        let mut limited = Error::local(Code::ResourceExhausted, "slowly");
        limited.edit().reason = "RATE_LIMITED".into();
        limited.edit().retry_after = Some(Duration::from_secs(4));
        assert!(attempts(5, true).after(limited.clone()).unwrap() >= Duration::from_secs(4));
        limited.edit().retry_after = Some(Duration::from_secs(6));
        assert!(attempts(5, true).after(limited).is_err());
    }
}
