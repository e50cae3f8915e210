"""Status, headers and body of a refusal become the one error that fits."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from gai_rx.errors import GaiError
from gai_rx.refusals import refusal, retry_after, stream_error


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (400, {"error": {"message": "no"}}, "bad_request", False),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_length", False),
        (
            400,
            {"error": {"message": "This model's maximum context length is 8 tokens"}},
            "context_length",
            False,
        ),
        (
            400,
            {
                "error": {
                    "type": "invalid_request_error",
                    "message": "prompt is too long: 9 tokens > 8",
                }
            },
            "context_length",
            False,
        ),
        (400, {"error": {"code": "content_filter"}}, "content_filter", False),
        (
            400,
            {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "content_filter",
            False,
        ),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "details": [{"reason": "API_KEY_INVALID"}],
                }
            },
            "authentication",
            False,
        ),
        (401, {"error": {"type": "invalid_request_error"}}, "authentication", False),
        (402, {"error": {"message": "Insufficient Balance"}}, "quota", False),
        (403, "forbidden", "permission", False),
        (
            404,
            {"error": {"type": "invalid_request_error", "code": "model_not_found"}},
            "not_found",
            False,
        ),
        (404, {"error": {"type": "invalid_request_error"}}, "not_found", False),
        (404, {"error": "model 'x' not found, try pulling it first"}, "not_found", False),
        (408, {}, "timeout", True),
        (409, {}, "bad_request", True),
        (413, {"error": {"type": "request_too_large"}}, "bad_request", False),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "bad_request", False),
        (429, {}, "rate_limit", True),
        (
            429,
            {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}},
            "quota",
            False,
        ),
        (429, {"error": {"type": "enforced_spend_limit_reached"}}, "quota", False),
        (429, [{"error": {"status": "RESOURCE_EXHAUSTED"}}], "rate_limit", True),
        (500, "", "server", True),
        (502, "<html>", "server", True),
        (503, {"error": {"message": "busy"}}, "overloaded", True),
        (504, {}, "server", True),
        (529, {"error": {"type": "overloaded_error"}}, "overloaded", True),
        (599, None, "server", True),
        (418, None, "bad_request", False),
    ],
)
def test_a_refusal_gets_its_kind(status: int, body: Any, kind: str, retryable: bool) -> None:
    error = refusal(status, {}, body)
    assert (error.kind, error.retryable, error.status) == (kind, retryable, status)
    assert error.phase == "headers"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 429}}, "rate_limit"),
        ({"error": {"code": "502", "message": "Provider disconnected"}}, "server"),
        ({"error": {"code": 503}}, "overloaded"),
        ({"error": {"message": "Bad", "type": "BadRequestError", "code": 400}}, "bad_request"),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded",
        ),
        ({"error": {"type": "rate_limit_error"}}, "rate_limit"),
        ({"error": {"type": "api_error"}}, "server"),
        ({"error": "something broke"}, "server"),
        (
            {
                "error": {
                    "code": 400,
                    "message": "no",
                    "metadata": {"error_type": "context_length_exceeded"},
                }
            },
            "context_length",
        ),
        ({"error": {"code": 7, "details": None}}, "server"),
    ],
)
def test_an_error_inside_an_answer_gets_its_kind(body: Any, kind: str) -> None:
    error = stream_error(body)
    assert (error.kind, error.phase) == (kind, "stream")


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "7", "retry-after-ms": "1500"}, None, 1.5),
        ({"retry-after": "0"}, None, 0.0),
        ({"retry-after": "-5"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "inf"}, None, None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00"}, None, 0.0),
        ({}, [{"error": {"details": [{"retryDelay": "34.4s"}]}}], 34.4),
        ({}, {"error": {"details": [{"retryDelay": "soon"}, {"retryDelay": "xs"}, 7]}}, None),
        ({}, {"error": {"details": "none"}}, None),
        ({}, None, None),
    ],
)
def test_the_time_to_wait_is_read_from_where_it_is_told(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    assert retry_after(headers, body) == seconds


def test_a_date_to_wait_for_is_counted_from_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    wait = retry_after({"retry-after": date})
    assert wait is not None
    assert 25 < wait <= 30


def test_a_wait_beyond_the_limit_is_cut_to_it() -> None:
    assert retry_after({"retry-after": "1e9"}, limit=60.0) == 60.0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_protocol_error_that_names_the_place(status: int) -> None:
    error = refusal(status, {"location": "https://elsewhere.example/v1"}, "")
    assert error.kind == "protocol"
    assert "elsewhere.example" in str(error)


def test_the_servers_own_word_on_retrying_wins() -> None:
    assert not refusal(500, {"x-should-retry": "false"}, None).retryable
    assert refusal(400, {"x-should-retry": "true"}, None).retryable
    assert not refusal(409, {"x-should-retry": "false"}, None).retryable


def test_the_request_id_is_kept() -> None:
    assert refusal(500, {"request-id": "req_1"}, None).request_id == "req_1"


def test_a_key_in_the_message_is_hidden() -> None:
    told = {"error": {"message": "Incorrect API key provided: sk-abc123XYZ456. And my-own-secret."}}
    error = refusal(401, {}, told, secrets=(SecretStr("my-own-secret"),))
    assert "sk-abc" not in str(error)
    assert "my-own-secret" not in str(error)
    assert "***" in str(error)


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = refusal(500, {}, {"error": {"message": "a\n\x1b[31m" + "b" * 10_000_000}})
    assert len(str(error)) < 2_200
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(
    "body", [None, "", [], {}, 7, [7], {"error": None}, {"error": []}, {"error": 5}, [[]]]
)
def test_any_body_makes_an_error(body: Any) -> None:
    for status in (400, 429, 500):
        assert isinstance(refusal(status, {}, body), GaiError)
    assert isinstance(stream_error(body), GaiError)
