"""Which failures of a MongoDB pass by themselves."""

from __future__ import annotations

import pytest
from pymongo.errors import BulkWriteError, CursorNotFound, OperationFailure

from services.infra.mongo.failures import translated
from services.kernel.errors import Unavailable


@pytest.mark.parametrize("code", [43, 91, 133, 134, 175, 189, 237, 10058, 10107, 11602])
def test_what_a_server_says_while_it_restarts_or_elects_is_unavailable(code: int) -> None:
    with pytest.raises(Unavailable) as refused, translated():
        raise OperationFailure("not now", code)
    assert refused.value.retry_after
    with pytest.raises(Unavailable), translated():
        raise CursorNotFound("cursor id 1 not found", 43)
    with pytest.raises(Unavailable), translated():
        raise BulkWriteError({"writeErrors": [{"code": code}]})


@pytest.mark.parametrize("code", [2, 26, 11000, 292])
def test_what_would_fail_again_is_a_defect(code: int) -> None:
    with pytest.raises(OperationFailure), translated():
        raise OperationFailure("no", code)
