"""The layers around every call, one file each; needs the kernel and the runtime's own words."""

from __future__ import annotations

from services.runtime.call import Interceptor
from services.runtime.interceptors.access_log import AccessLog
from services.runtime.interceptors.account_limits import AccountLimits
from services.runtime.interceptors.admission import Admission
from services.runtime.interceptors.authentication import Authentication
from services.runtime.interceptors.decoding import Decoding
from services.runtime.interceptors.errors import Errors
from services.runtime.interceptors.limits import Limits
from services.runtime.interceptors.metering import Metering
from services.runtime.interceptors.metrics import CallMetrics
from services.runtime.interceptors.request_id import RequestId
from services.runtime.interceptors.validation import Validation

ORDER: tuple[type[Interceptor], ...] = (
    RequestId,
    AccessLog,
    CallMetrics,
    Errors,
    # So near to the outside that it sees every way in which a call can fail.
    Metering,
    Admission,
    Authentication,
    # By the caller that authentication found, before the message is read: reading megabytes is work, and so is finding out that they
    # break the rules.
    Limits,
    Decoding,
    # Guesses count by the account that the message names.
    AccountLimits,
    Validation,
)
"""Outermost first."""


def in_order(interceptors: list[Interceptor]) -> list[Interceptor]:
    """The interceptors as `ORDER` has them. Raises ValueError unless there is exactly one of each."""
    by_type = {type(interceptor): interceptor for interceptor in interceptors}
    if len(by_type) != len(interceptors) or set(by_type) != set(ORDER):
        raise ValueError("exactly one interceptor of each kind is needed")
    return [by_type[kind] for kind in ORDER]
