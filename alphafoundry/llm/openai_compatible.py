"""A client of OpenAI's chat-completions API, which OpenRouter and most servers speak.

https://platform.openai.com/docs/api-reference/chat/create and
https://openrouter.ai/docs/api-reference/overview
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, TypeGuard

import httpx

from alphafoundry.errors import ConfigurationError, ModelRequestError
from alphafoundry.llm.completion import Completion, Sampling, amount, whole_number
from alphafoundry.llm.secret import ApiKey
from alphafoundry.llm.suited_models import best_suited
from alphafoundry.retry_after import retry_after

OPENROUTER_URL = "https://openrouter.ai/api/v1"
REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 10.0
LIST_SECONDS = 10.0
LIST_IS_FRESH = 60.0
MOST_CONNECTIONS = 10
MOST_KEPT_ALIVE = 5
MOST_BYTES = 2_000_000
"""An answer with more than this is no program, and is not read to its end."""

_REASON_LENGTH = 300

log = logging.getLogger(__name__)

# At the level DEBUG it logs the coded headers of each request, the key among them.
logging.getLogger("hpack").setLevel(logging.INFO)


def new_http_client(
    *, timeout: float = REQUEST_SECONDS, connect_timeout: float = CONNECT_SECONDS
) -> httpx.AsyncClient:
    """Return a client with 10 connections, 5 kept alive, and these time limits in seconds."""
    return httpx.AsyncClient(
        http2=True,
        timeout=httpx.Timeout(timeout, connect=min(connect_timeout, timeout)),
        limits=httpx.Limits(
            max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_KEPT_ALIVE
        ),
    )


class OpenAICompatible:
    """Asks one endpoint of the chat-completions API.

    Parameters
    ----------
    base_url : the address before `/chat/completions`; it must hold no user or password
    api_key : sent as a bearer token; None for a server that needs none
    name : "openrouter" or "openai", for reports
    client : the connections to use, which the caller closes; None opens its own
    timeout : seconds until one answer must be there, whole
    connect_timeout : seconds until the connection must be there
    """

    def __init__(
        self,
        base_url: str = OPENROUTER_URL,
        *,
        api_key: ApiKey | None = None,
        name: str = "openai",
        client: httpx.AsyncClient | None = None,
        timeout: float = REQUEST_SECONDS,
        connect_timeout: float = CONNECT_SECONDS,
    ) -> None:
        self.endpoint = _checked_address(base_url)
        self.name = name
        self.timeout = timeout
        self._api_key = api_key
        self._owns_client = client is None
        self._client = client or new_http_client(timeout=timeout, connect_timeout=connect_timeout)
        self._refused: dict[str, list[str]] = {}
        self._listed: tuple[float, list[Mapping[str, Any]] | None] | None = None

    def __repr__(self) -> str:
        return f"OpenAICompatible({self.endpoint!r}, name={self.name!r}, timeout={self.timeout:g})"

    @property
    def label(self) -> str:
        """One line that says what answers."""
        return f"language models at {self.endpoint}"

    async def aclose(self) -> None:
        """Close the connections that this object has opened."""
        if self._owns_client:
            await self._client.aclose()

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        """Ask once; see `Provider.complete`.

        Raises
        ------
        ModelRequestError : transient for 429, 5xx, time-outs and network errors, and for nothing
            else. The message never holds the API key, even where the service repeats it

        A status 400 or 422 that names a parameter of the sampling is answered by asking again
        without it (`max_completion_tokens` for `max_tokens`), now and for later prompts to this
        model.
        """
        request: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if self.name == "openrouter":
            request["usage"] = {"include": True}
        for name in self._refused.get(model, ()):
            _leave_out(request, name)
        while True:
            try:
                body = await self._json("POST", "/chat/completions", self.timeout, request)
                return self._completion(body, model, sampling)
            except _ParameterRefused as problem:
                # The first one that the sentence names; the next may be what to write instead.
                refused = next((one for one in problem.names if one in request), None)
                if refused is None:
                    raise
                _leave_out(request, refused)
                self._refused.setdefault(model, []).append(refused)
                log.info("%s: asked again without %s: %s", model, refused, problem)

    async def available(self) -> frozenset[str] | None:
        """Return the models that `GET /models` lists, asked at most once a minute.

        None where the service does not answer that question; then every model counts as there.
        """
        models = await self._models()
        return None if models is None else frozenset(str(one["id"]) for one in models)

    async def suited(self) -> tuple[str, ...]:
        """Return the models that can write a program, the best first, of OpenRouter's the free."""
        names = best_suited(await self._models() or ())
        return tuple(n for n in names if self.name != "openrouter" or n.endswith(":free"))

    async def _models(self) -> list[Mapping[str, Any]] | None:
        if self._listed is not None and time.monotonic() - self._listed[0] < LIST_IS_FRESH:
            return self._listed[1]
        try:
            body = await self._json("GET", "/models", min(LIST_SECONDS, self.timeout), None)
        except ModelRequestError:
            models = None
        else:
            models = _listed_models(body)
        self._listed = (time.monotonic(), models)
        return models

    async def _json(
        self, method: str, path: str, seconds: float, payload: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        where = f"{self.endpoint}{path}"
        try:
            async with asyncio.timeout(seconds):
                return self._decoded(where, *await self._read(method, where, payload))
        except (httpx.TimeoutException, TimeoutError):
            problem = ModelRequestError(
                f"{where}: no complete answer within {seconds:g} s", kind="time-out"
            )
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            problem = ModelRequestError(self._clean(f"{where}: {error}"), kind="refused")
        except httpx.TransportError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            problem = ModelRequestError(
                self._clean(f"{where}: the connection failed ({reason})"), kind="network"
            )
        except httpx.DecodingError:
            problem = ModelRequestError(
                f"{where}: the answer cannot be decompressed", kind="unusable"
            )
        # Raised outside the handlers: an httpx exception holds the request with its headers.
        raise problem

    async def _read(
        self, method: str, where: str, payload: Mapping[str, Any] | None
    ) -> tuple[httpx.Response, bytes]:
        """Return the answer and at most `MOST_BYTES` + 1 bytes of its body."""
        body = bytearray()
        async with self._client.stream(
            method, where, json=payload, headers=self._headers(), follow_redirects=False
        ) as response:
            async for chunk in response.aiter_bytes(65_536):
                body += chunk
                if len(body) > MOST_BYTES:
                    break
        return response, bytes(body[: MOST_BYTES + 1])

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self.name == "openrouter":
            headers["X-Title"] = "Alpha Foundry"
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.reveal()}"
        return headers

    def _decoded(self, where: str, response: httpx.Response, content: bytes) -> dict[str, Any]:
        body: object = None
        with_reason = ""
        if len(content) <= MOST_BYTES:
            try:
                body = json.loads(content)
            except (ValueError, RecursionError) as error:
                with_reason = " ".join(str(error).split())
        if response.status_code != httpx.codes.OK:
            problem = self._refusal(where, response, response.status_code, _reason(body, content))
            named = _refused_parameters(body) if response.status_code in (400, 422) else ()
            raise _ParameterRefused(problem, named) if named else problem
        if len(content) > MOST_BYTES:
            raise ModelRequestError(
                f"{where}: the answer is larger than {MOST_BYTES:,} bytes", kind="unusable"
            )
        if not isinstance(body, dict):
            what = response.headers.get("Content-Type", "no content type").split(";")[0]
            raise ModelRequestError(
                self._clean(
                    f"{where}: the answer ({what}) is not a JSON object"
                    + (f": {with_reason}" if with_reason else "")
                    + "; is this an OpenAI-compatible API?"
                ),
                kind="unusable",
            )
        if body.get("error"):
            self._raise_embedded(where, response, body["error"], content)
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(first, dict) and first.get("error"):
            self._raise_embedded(where, response, first["error"], content)
        if isinstance(first, dict) and first.get("finish_reason") == "error":
            # The model's service broke down in the middle; what came is no answer.
            raise self._refusal(where, response, 502, "the answer ended with an error")
        return body

    def _raise_embedded(
        self, where: str, response: httpx.Response, error: object, content: bytes
    ) -> None:
        """Raise what OpenRouter reports inside an answer with status 200."""
        code = str(error.get("code") if isinstance(error, dict) else "").strip()
        status = int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 0
        raise self._refusal(where, response, status, _reason({"error": error}, content))

    def _refusal(
        self, where: str, response: httpx.Response, status: int, reason: str
    ) -> ModelRequestError:
        if status == httpx.codes.TOO_MANY_REQUESTS:
            kind = "rate limit"
        elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
            kind = "server"
        else:
            kind = "refused"
        advice = _ADVICE.get(status, "")
        shown = f"HTTP {status}" if status else "an error"
        return ModelRequestError(
            self._clean(f"{where}: {shown}: {reason}{advice}"),
            kind=kind,
            status=status or response.status_code,
            retry_after=retry_after(response.headers),
        )

    def _completion(self, body: Mapping[str, Any], model: str, sampling: Sampling) -> Completion:
        where = f"{self.endpoint}/chat/completions"
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise ModelRequestError(f"{where}: {model} gave no choices", kind="unusable")
        message = choices[0].get("message")
        text = _content(message.get("content") if isinstance(message, dict) else None)
        usage = body.get("usage")
        counted: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
        prompt_tokens = whole_number(counted.get("prompt_tokens"))
        completion_tokens = whole_number(counted.get("completion_tokens"))
        cost = amount(counted.get("cost"))
        ended = self._clean(str(choices[0].get("finish_reason"))[:40])
        if not text.strip():
            used_up = (
                f"; all {sampling.max_tokens} tokens went before it: raise algorithms.max_tokens"
                if ended.lower() in _CUT_OFF
                else ""
            )
            raise ModelRequestError(
                f"{where}: {model} answered with an empty text (finish_reason {ended!r}){used_up}",
                kind="unusable",
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                cost=cost,
            )
        return Completion(
            self._without_key(text),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=cost,
            cut_off=ended.lower() in _CUT_OFF,
        )

    def _clean(self, text: str) -> str:
        return " ".join(self._without_key(text).split())

    def _without_key(self, text: str) -> str:
        # JSON can name half a character, which no log, terminal or page can show.
        text = text.encode("utf-8", "replace").decode()
        return text if self._api_key is None else self._api_key.hide_in(text)


class _ParameterRefused(ModelRequestError):
    """A status 400 or 422 that names parameters of the sampling, in its order."""

    def __init__(self, problem: ModelRequestError, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(str(problem), kind=problem.kind, status=problem.status)


def _refused_parameters(body: object) -> tuple[str, ...]:
    """Return the parameters of the sampling that a refusal names, its own field first.

    A refusal may repeat the request, whose parameters are no more named than the prompt is.
    """
    error = _complaint(body)
    if isinstance(error, list):
        text = " ".join(f"{one.get('loc')} {one.get('msg')}" for one in error if _is_object(one))
    elif isinstance(error, dict):
        text = f"{error.get('param')} {error.get('message')}"
    else:
        text = str(error)
    return tuple(re.findall(rf"\b({'|'.join(_SAMPLING)})\b(?!['\"]\s*:\s*[-\d])", text))


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _leave_out(request: dict[str, Any], name: str) -> None:
    """Take a parameter out of a request, if it is there."""
    value = request.pop(name, None)
    if name == "max_tokens" and value is not None:
        request["max_completion_tokens"] = value


_CUT_OFF = frozenset({"length", "model_length", "max_tokens", "max_output_tokens"})
"""What services call it that an answer ended at its limit."""

_SAMPLING = ("max_tokens", "max_completion_tokens", "temperature", "top_p")

_ADVICE = {
    401: "; check the API key",
    402: "; the account has no credit left",
    403: "; check what the API key may do",
    404: "; check the model's name and the base URL",
}


def _checked_address(base_url: str) -> str:
    address = base_url.strip().rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        raise ConfigurationError(
            "the base URL of the language models is not a web address; write https://HOST/v1"
        ) from None
    if url.userinfo or url.query:
        raise ConfigurationError(
            f"the base URL of the language models at {url.host} holds a user, a password or a "
            "query; leave it out and put the key into OPENAI_API_KEY"
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"{address!r} is not the address of language models; write https://HOST/v1"
        )
    return address


def _listed_models(body: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    listed = body.get("data")
    if not isinstance(listed, list):
        return None
    return [
        one for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)
    ] or None


def _content(content: object) -> str:
    """Return the text of a message: a string, or a list of parts with a text each."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(part for part in parts if isinstance(part, str))


def _reason(body: object, content: bytes) -> str:
    """Return what the service said went wrong, as one short line."""
    text = _complaint(body)
    if isinstance(text, dict):
        text = text.get("message") or text
    if not text:
        text = content[: 4 * _REASON_LENGTH].decode("utf-8", "replace")
    return " ".join(str(text).split())[:_REASON_LENGTH] or "no explanation"


def _complaint(body: object) -> object:
    """Return where a body says what went wrong: services have three keys for it."""
    if not isinstance(body, dict):
        return None
    return body.get("error") or body.get("message") or body.get("detail")
