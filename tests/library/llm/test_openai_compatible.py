"""The chat-completions client against a real server on a socket."""

from __future__ import annotations

import gzip
import json
import pickle
import traceback

import pytest

from alphafoundry.errors import ConfigurationError, ModelRequestError
from alphafoundry.llm import ApiKey, Backoff, ModelEndpoint, OpenAICompatible, Sampling
from tests.library.llm.chat_server import ChatServer, Reply, chat, problem, program
from tests.some_cases import one_in

KEY = "sk-or-v1-4f9a2c7714b0d1e6a8c3"
SOON = Backoff(delays=(0.01, 0.01, 0.01))


def endpoint(server: ChatServer, *, timeout: float = 5.0) -> ModelEndpoint:
    return ModelEndpoint(OpenAICompatible(server.url, timeout=timeout))


async def ask(server: ChatServer, *, timeout: float = 5.0, max_retries: int = 3) -> str:
    asked = endpoint(server, timeout=timeout)
    try:
        answer = await asked.ask("m", "hello", backoff=SOON, max_retries=max_retries)
        return answer.text
    finally:
        await asked.aclose()


HALF = program().body[: len(program().body) // 2]

RETRIED = {
    "429": problem(429),
    "429 with Retry-After": problem(429, Retry_After="0"),
    "500": problem(500),
    "502": problem(502),
    "503": problem(503),
    "a dropped connection": Reply(drop=True),
    "half a body, then the connection is closed": Reply(body=HALF, announced_length=10_000),
    "an answer after the time-out": program(delay=30.0),
    "a body that comes too slowly": Reply(body=program().body, pieces=40, delay=0.2),
    "429 as a text inside an answer": Reply(
        body=json.dumps({"error": {"code": "429", "message": "slow down"}}).encode()
    ),
    "502 inside a choice": Reply(
        body=json.dumps(
            {
                "choices": [
                    {
                        "error": {"code": 502, "message": "upstream went away"},
                        "finish_reason": "error",
                        "message": {"role": "assistant", "content": "```python\\ndef exec"},
                    }
                ]
            }
        ).encode()
    ),
    "a choice that ended with an error and no word": Reply(
        body=json.dumps(
            {"choices": [{"finish_reason": "error", "message": {"content": "def exec"}}]}
        ).encode()
    ),
    "503 as a text inside a choice": Reply(
        body=json.dumps({"choices": [{"error": {"code": "503", "message": "busy"}}]}).encode()
    ),
    "429 inside an answer with status 200": Reply(
        body=json.dumps({"error": {"code": 429, "message": "slow down"}}).encode()
    ),
}

TOO_LATE = ("an answer after the time-out", "a body that comes too slowly")

REFUSED = {
    "half a JSON body": (Reply(body=HALF), "unusable", "not a JSON object"),
    "HTML": (
        Reply(body=b"<html>Sign in</html>", headers={"Content-Type": "text/html"}),
        "unusable",
        "text/html",
    ),
    "an empty choice list": (Reply(body=b'{"choices": []}'), "unusable", "no choices"),
    "an empty text": (chat("  "), "unusable", "empty text"),
    "no text": (chat(None), "unusable", "empty text"),
    "a list": (Reply(body=b"[]"), "unusable", "not a JSON object"),
    "nothing": (Reply(), "unusable", "not a JSON object"),
    "10 MB of text": (chat("x" * 10_000_000), "unusable", "larger than 2,000,000 bytes"),
    "10 MB in a small gzip": (
        Reply(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        "unusable",
        "larger than 2,000,000 bytes",
    ),
    "no gzip": (
        Reply(body=b"plain", headers={"Content-Encoding": "gzip"}),
        "unusable",
        "decompressed",
    ),
    "400": (problem(400), "refused", "HTTP 400"),
    "401": (problem(401, "bad key"), "refused", "check the API key"),
    "402": (problem(402), "refused", "no credit"),
    "404": (problem(404), "refused", "model's name"),
    "a redirect": (
        Reply(302, headers={"Location": "http://127.0.0.1:9/v1"}),
        "refused",
        "HTTP 302",
    ),
    "an error without a code": (Reply(body=b'{"error": "no"}'), "refused", "an error: no"),
}


@pytest.mark.parametrize("fault", one_in(3, RETRIED))
async def test_what_may_pass_is_asked_again(chat_server: ChatServer, fault: str) -> None:
    chat_server.script("m", RETRIED[fault], RETRIED[fault], program())
    seconds = 2.0 if fault in TOO_LATE else 30.0
    assert "execute_trade" in await ask(chat_server, timeout=seconds)
    assert chat_server.sent["m"] == 3


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_will_not_pass_is_asked_once(chat_server: ChatServer, fault: str) -> None:
    reply, kind, says = REFUSED[fault]
    chat_server.script("m", reply, reply)
    with pytest.raises(ModelRequestError, match=says) as caught:
        await ask(chat_server)
    assert chat_server.sent["m"] == 1
    assert caught.value.kind == kind
    assert not caught.value.transient
    assert "\n" not in str(caught.value)


async def test_four_requests_are_the_most(chat_server: ChatServer) -> None:
    chat_server.default = problem(503)
    with pytest.raises(ModelRequestError, match="HTTP 503"):
        await ask(chat_server)
    assert chat_server.sent["m"] == 4


async def test_retry_after_is_waited_for_and_not_less(chat_server: ChatServer) -> None:
    chat_server.script("m", problem(429, Retry_After="0.6"), program())
    await ask(chat_server)
    first, second = chat_server.arrivals["m"]
    assert second - first >= 0.6


async def test_a_retry_after_that_is_too_long_ends_the_request(chat_server: ChatServer) -> None:
    chat_server.default = problem(429, Retry_After="3600")
    with pytest.raises(ModelRequestError) as caught:
        await ask(chat_server)
    assert chat_server.sent["m"] == 1
    assert caught.value.retry_after == 3600


async def test_the_request_says_what_was_asked_for(chat_server: ChatServer) -> None:
    asked = ModelEndpoint(
        OpenAICompatible(chat_server.url + "/", api_key=ApiKey(KEY)),
        sampling=Sampling(temperature=0.2, top_p=0.5, max_tokens=99),
    )
    await asked.ask("m", "hello")
    await asked.aclose()
    assert chat_server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
            "temperature": 0.2,
            "top_p": 0.5,
            "max_tokens": 99,
        }
    ]
    assert chat_server.authorization == [f"Bearer {KEY}"]


async def test_tokens_and_cost_are_read_where_they_are_told(chat_server: ChatServer) -> None:
    chat_server.script(
        "m",
        program(prompt_tokens=900, completion_tokens=300, cost=0.00125),
        program(prompt_tokens="many", completion_tokens=-1, cost=True),
        chat([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]),
    )
    asked = endpoint(chat_server)
    told, untold, parts = [await asked.ask("m", "hello") for _ in range(3)]
    await asked.aclose()
    assert (told.prompt_tokens, told.completion_tokens, told.cost) == (900, 300, 0.00125)
    assert (untold.prompt_tokens, untold.completion_tokens, untold.cost) == (None, None, None)
    assert parts.text == "one two"


async def test_models_are_listed_once_a_minute_or_not_at_all(chat_server: ChatServer) -> None:
    provider = OpenAICompatible(chat_server.url)
    assert await provider.available() is None
    chat_server.listed = ["a", "b:free"]
    assert await provider.available() is None
    await provider.aclose()
    provider = OpenAICompatible(chat_server.url)
    assert await provider.available() == {"a", "b:free"}
    await provider.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        problem(401, f"Incorrect API key provided: {KEY}"),
        problem(500, f"upstream said {KEY[:16]}..."),
        Reply(body=f"<html>{KEY}</html>".encode(), headers={"Content-Type": KEY}),
        Reply(body=json.dumps({"error": {"message": KEY, "code": 403}}).encode()),
        Reply(drop=True),
    ],
)
async def test_no_error_shows_the_key(chat_server: ChatServer, reply: Reply) -> None:
    chat_server.default = reply
    provider = OpenAICompatible(chat_server.url, api_key=ApiKey(KEY))
    with pytest.raises(ModelRequestError) as caught:
        await provider.complete("m", "hello", Sampling())
    await provider.aclose()
    text = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=False).format()
    )
    shown = [text, repr(caught.value), repr(provider), repr(caught.value.__context__)]
    assert not any(KEY[:12] in one for one in shown)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("cut", [12, 13, 25, len(KEY)])
def test_of_a_key_that_was_cut_short_nothing_is_left(cut: int) -> None:
    assert ApiKey(KEY).hide_in(f"{KEY[:cut]}... and {KEY}{KEY}") == (
        "[API key]... and [API key][API key]"
    )


async def test_half_a_character_in_an_answer_does_not_break_what_shows_it(
    chat_server: ChatServer,
) -> None:
    provider = OpenAICompatible(chat_server.url)
    chat_server.default = Reply(status=401, body=b'{"error": {"message": "no \\ud800 key"}}')
    with pytest.raises(ModelRequestError) as caught:
        await provider.complete("m", "hello", Sampling())
    assert "no ? key" in str(caught.value)
    await provider.aclose()


async def test_a_key_in_an_answer_is_hidden(chat_server: ChatServer) -> None:
    chat_server.default = chat(f"KEY = {KEY!r}")
    provider = OpenAICompatible(chat_server.url, api_key=ApiKey(KEY))
    assert KEY not in (await provider.complete("m", "hello", Sampling())).text
    await provider.aclose()


def test_a_key_does_not_show_itself() -> None:
    key = ApiKey(f" {KEY}\n")
    assert key.reveal() == KEY
    assert KEY not in f"{key} {key!r} {[key]}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)


@pytest.mark.parametrize("value", ["", " ", "two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY is not an API key") as caught:
        ApiKey(value, source="OPENROUTER_API_KEY")
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:secret@host/v1", "https://host/v1?key=secret", "ftp://host/v1", "host", ""]
)
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAICompatible(url)
    assert "secret" not in str(caught.value)


async def test_without_a_server_the_error_names_the_address() -> None:
    provider = OpenAICompatible("http://127.0.0.1:9/v1")
    with pytest.raises(ModelRequestError, match=r"127\.0\.0\.1:9") as caught:
        await provider.complete("m", "hello", Sampling())
    await provider.aclose()
    assert caught.value.kind == "network"


def unsupported(name: str, *, says: str = "") -> Reply:
    message = says or f"Unsupported parameter: '{name}' is not supported with this model."
    error = {"message": message, "param": None if says else name, "code": "unsupported_parameter"}
    return Reply(400, body=json.dumps({"error": error}).encode())


async def test_a_parameter_that_a_model_refuses_is_left_out_from_then_on(
    chat_server: ChatServer,
) -> None:
    says = "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    chat_server.script("m", unsupported("max_tokens", says=says), unsupported("temperature"))
    asked = endpoint(chat_server)
    try:
        await asked.ask("m", "hello", max_retries=0)
        await asked.ask("m", "again", max_retries=0)
    finally:
        await asked.aclose()
    sent = [set(body) - {"model", "messages"} for body in chat_server.bodies]
    assert sent == [
        {"temperature", "top_p", "max_tokens"},
        {"temperature", "top_p", "max_completion_tokens"},
        {"top_p", "max_completion_tokens"},
        {"top_p", "max_completion_tokens"},
    ]


@pytest.mark.parametrize("param", [None, "max_tokens"])
async def test_a_limit_that_is_too_large_under_both_names_is_left_out(
    chat_server: ChatServer, param: str | None
) -> None:
    says = "'max_tokens' or 'max_completion_tokens' is too large: 16000"
    error = {"error": {"message": says, "param": param, "code": 400}}
    chat_server.script("m", *[Reply(400, body=json.dumps(error).encode())] * 2)
    await ask(chat_server, max_retries=0)
    sent = [
        set(body) - {"model", "messages", "temperature", "top_p"} for body in chat_server.bodies
    ]
    assert sent == [{"max_tokens"}, {"max_completion_tokens"}, set()]


async def test_a_parameter_is_left_out_once_and_then_the_refusal_stands(
    chat_server: ChatServer,
) -> None:
    chat_server.script("m", *[unsupported("top_p")] * 3)
    with pytest.raises(ModelRequestError, match="'top_p' is not supported") as caught:
        await ask(chat_server)
    assert (caught.value.kind, caught.value.status, chat_server.sent["m"]) == ("refused", 400, 2)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"object": "error", "message": "top_p must be 1", "param": None, "code": 400}),
        (422, {"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]}),
        (400, {"error": "unknown field top_p"}),
    ],
)
async def test_a_parameter_is_left_out_however_the_service_says_it(
    chat_server: ChatServer, status: int, body: dict[str, object]
) -> None:
    chat_server.script("m", Reply(status, body=json.dumps(body).encode()))
    assert "execute_trade" in await ask(chat_server, max_retries=0)
    assert ["top_p" in sent for sent in chat_server.bodies] == [True, False]


REPEATED = {"model": "m", "temperature": 0.7, "top_p": 0.9, "max_tokens": 16000}


@pytest.mark.parametrize(
    "told",
    [
        {"detail": [{"loc": ["body", "user"], "msg": "Field required", "input": REPEATED}]},
        {"error": {"message": f"user: Field required in {json.dumps(REPEATED)}", "code": 422}},
        {"message": str([{"loc": ("body", "user"), "msg": "required", "input": REPEATED}])},
    ],
)
async def test_a_refusal_that_repeats_the_request_takes_no_parameter_from_it(
    chat_server: ChatServer, told: dict[str, object]
) -> None:
    chat_server.script("m", Reply(422, body=json.dumps(told).encode()))
    with pytest.raises(ModelRequestError, match="user"):
        await ask(chat_server, max_retries=0)
    assert await ask(chat_server, max_retries=0)
    assert all({"temperature", "top_p", "max_tokens"} <= set(sent) for sent in chat_server.bodies)
    assert len(chat_server.bodies) == 2


@pytest.mark.parametrize("content", ["", None])
@pytest.mark.parametrize("ended", ["length", "max_tokens"])
async def test_where_no_word_was_left_the_limit_is_named(
    chat_server: ChatServer, ended: str, content: str | None
) -> None:
    body = {"choices": [{"message": {"content": content}, "finish_reason": ended}]}
    chat_server.script("m", Reply(body=json.dumps(body).encode()))
    with pytest.raises(ModelRequestError, match="16000 tokens went before it: raise"):
        await ask(chat_server)


@pytest.mark.parametrize("ended", ["length", "MAX_TOKENS", "model_length", "max_output_tokens"])
async def test_an_answer_that_was_cut_off_is_refused_and_its_tokens_are_counted(
    chat_server: ChatServer, ended: str
) -> None:
    body = {
        "choices": [{"message": {"content": "def f(): pass"}, "finish_reason": ended}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 99, "cost": 0.5},
    }
    chat_server.script("m", Reply(body=json.dumps(body).encode()))
    asked = endpoint(chat_server)
    try:
        with pytest.raises(ModelRequestError, match="cut off at 16000 tokens; raise"):
            await asked.ask("m", "hello")
    finally:
        await asked.aclose()
    (record,) = asked.records
    assert (record.outcome, record.prompt_tokens, record.completion_tokens, record.cost) == (
        "unusable",
        7,
        99,
        0.5,
    )
