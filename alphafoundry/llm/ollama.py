"""A client of Ollama's HTTP API (https://github.com/ollama/ollama/blob/main/docs/api.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from alphafoundry.errors import LanguageModelError, ModelMemoryError, ModelNotFoundError
from alphafoundry.llm.completion import Completion, whole_number
from alphafoundry.retry_after import retry_after

DEFAULT_URL = "http://localhost:11434"

_MEMORY_PHRASES = (
    "out of memory",
    "requires more system memory",
    "more memory than is available",
    "memory exhausted",
    "vram usage didn't recover",
    "insufficient memory",
    "insufficient vram",
    "cudamalloc failed",
    "failed to allocate",
    "unable to allocate",
)


class EmptyAnswer(LanguageModelError):
    """A model answered without a text, and what that took."""

    def __init__(
        self, message: str, *, prompt_tokens: int | None, completion_tokens: int | None
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        super().__init__(message, transient=True)


class OllamaClient:
    """Talks to one Ollama server; `async with OllamaClient() as ollama: ...`.

    Parameters
    ----------
    base_url : address of the server; `host:port` without a scheme means http
    timeout : seconds to wait for an answer; a large model on a CPU needs minutes
    connect_timeout : seconds to wait for the connection
    transport : replaces the network
    otherwise : what to do where there is no Ollama, for a message
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        timeout: float = 360.0,
        connect_timeout: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        otherwise: str = "use `--generator grammar`",
    ) -> None:
        self._otherwise = otherwise
        address = base_url.strip().rstrip("/")
        self.base_url = address if "://" in address else f"http://{address}"
        self.timeout = timeout
        self._without_think: set[str] = set()
        try:
            self._http = httpx.AsyncClient(
                base_url=self.base_url,
                timeout=httpx.Timeout(timeout, connect=connect_timeout),
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise LanguageModelError(
                f"Ollama URL {base_url!r}: {error}; write it like {DEFAULT_URL}"
            ) from error

    def __repr__(self) -> str:
        return f"OllamaClient({self.base_url!r}, timeout={self.timeout:g})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(
        self,
        model: str,
        prompt: str,
        *,
        temperature: float = 0.3,
        top_p: float = 0.9,
        num_predict: int = 4000,
        think: bool | None = None,
    ) -> str:
        """Return the model's answer to `prompt`; never an empty text.

        temperature 0..2, top_p (0, 1], num_predict in tokens, reasoning included. think tells a
        model that can reason whether to; None leaves it to the model, and a server or model that
        refuses the word is asked once more without it.

        Raises
        ------
        ModelMemoryError : the model does not fit in the memory of the server
        ModelNotFoundError : the server does not have the model (`pull` it)
        LanguageModelError : no server, a time-out, an HTTP error or an unreadable answer
        """
        completion = await self.complete(
            model,
            prompt,
            temperature=temperature,
            top_p=top_p,
            num_predict=num_predict,
            think=think,
        )
        return completion.text

    async def complete(
        self,
        model: str,
        prompt: str,
        *,
        temperature: float = 0.3,
        top_p: float = 0.9,
        num_predict: int = 4000,
        think: bool | None = None,
    ) -> Completion:
        """Return the same answer as `generate`, with the tokens that the server counted."""
        request: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "stream": False,
            "options": {"temperature": temperature, "top_p": top_p, "num_predict": num_predict},
        }
        if think is not None and model not in self._without_think:
            request["think"] = think
        try:
            body = await self._json("POST", "/api/generate", request, model=model)
        except LanguageModelError as problem:
            if problem.status != 400 or "think" not in str(problem) or "think" not in request:
                raise
            self._without_think.add(model)
            del request["think"]
            body = await self._json("POST", "/api/generate", request, model=model)
        answer = body.get("response")
        if not isinstance(answer, str):
            raise LanguageModelError(
                f"{self.base_url}/api/generate: the answer has no 'response' text; "
                "is this an Ollama server?"
            )
        if not answer.strip():
            raise EmptyAnswer(
                f"{model} at {self.base_url} answered with an empty text "
                f"(done_reason {body.get('done_reason')!r}); raise num_predict above {num_predict}",
                prompt_tokens=whole_number(body.get("prompt_eval_count")),
                completion_tokens=whole_number(body.get("eval_count")),
            )
        return Completion(
            answer,
            prompt_tokens=whole_number(body.get("prompt_eval_count")),
            completion_tokens=whole_number(body.get("eval_count")),
            cut_off=body.get("done_reason") == "length",
        )

    async def models(self) -> tuple[str, ...]:
        """Return the names of the models that the server holds, as it lists them."""
        return tuple(item["name"] for item in await self.listed())

    async def listed(self) -> tuple[dict[str, Any], ...]:
        """Return what the server says of each model that it holds."""
        body = await self._json("GET", "/api/tags", None)
        listed = body.get("models")
        if not isinstance(listed, list):
            raise LanguageModelError(
                f"{self.base_url}/api/tags: the answer has no list of models; "
                "is this an Ollama server?"
            )
        return tuple(item for item in listed if isinstance(item, dict) and "name" in item)

    async def pull(self, model: str, *, progress: Callable[[str], None] | None = None) -> None:
        """Let the server download a model; returns when it is there.

        progress is called with each new status line of the server. `timeout` bounds the silence
        between two lines, not the whole download.
        """
        succeeded = False
        last_status = ""
        try:
            async with self._http.stream(
                "POST", "/api/pull", json={"model": model, "stream": True}
            ) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise self._refusal(response, model)
                async for line in response.aiter_lines():
                    if not line.strip():
                        continue
                    event = self._decoded(line, "/api/pull")
                    if "error" in event:
                        raise LanguageModelError(
                            f"{self.base_url} cannot pull {model}: {event['error']}"
                        )
                    status = str(event.get("status", ""))
                    succeeded = succeeded or status == "success"
                    if progress is not None and status != last_status:
                        progress(status)
                    last_status = status
        except httpx.HTTPError as error:
            raise self._no_answer(error, "/api/pull") from error
        if not succeeded:
            raise LanguageModelError(
                f"{self.base_url}: the pull of {model} broke off at {last_status!r}; try again",
                transient=True,
            )

    async def _json(
        self, method: str, path: str, payload: dict[str, Any] | None, *, model: str = ""
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, json=payload)
        except httpx.HTTPError as error:
            raise self._no_answer(error, path) from error
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response, model)
        body = self._decoded(response.text, path)
        if body.get("error"):
            raise self._refusal(response, model)
        return body

    def _decoded(self, text: str, path: str) -> dict[str, Any]:
        try:
            body = json.loads(text)
        except ValueError as error:
            raise LanguageModelError(
                f"{self.base_url}{path}: the answer is incomplete JSON ({error}); try again",
                transient=True,
            ) from error
        if not isinstance(body, dict):
            raise LanguageModelError(
                f"{self.base_url}{path}: expected a JSON object, got {type(body).__name__}; "
                "is this an Ollama server?"
            )
        return body

    def _no_answer(self, error: httpx.HTTPError, path: str) -> LanguageModelError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
            return LanguageModelError(
                f"no Ollama server at {self.base_url}: start it with `ollama serve`, "
                f"give its address with --ollama-url, or {self._otherwise}",
                kind="network",
            )
        if isinstance(error, httpx.TimeoutException):
            return LanguageModelError(
                f"{self.base_url}{path}: no answer within {self.timeout:g} s; "
                "try again, or take a smaller model",
                transient=True,
                kind="time-out",
            )
        return LanguageModelError(
            f"{self.base_url}{path}: the connection broke ({error or type(error).__name__}); "
            "try again",
            transient=True,
            kind="network",
        )

    def _refusal(self, response: httpx.Response, model: str) -> LanguageModelError:
        reason = _error_text(response)
        where = f"{response.request.url}: HTTP {response.status_code}: {reason}"
        if any(phrase in reason.lower() for phrase in _MEMORY_PHRASES):
            return ModelMemoryError(
                f"{model or 'the model'} does not fit in the memory at {self.base_url}: {reason}; "
                "take a smaller model or free memory"
            )
        if response.status_code == httpx.codes.NOT_FOUND and model:
            return ModelNotFoundError(
                f"{self.base_url} does not have the model {model!r} ({reason}): "
                f"run `ollama pull {model}`"
            )
        transient = response.status_code in (200, 408, 425, 429) or response.status_code >= 500
        advice = "try again" if transient else "check the model's name and the server's log"
        return LanguageModelError(
            f"{where}; {advice}",
            transient=transient,
            retry_after=retry_after(response.headers),
            kind=_kind(response.status_code),
            status=response.status_code,
        )


def _kind(status: int) -> str:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return "rate limit"
    return "server" if status >= httpx.codes.INTERNAL_SERVER_ERROR else "refused"


def _error_text(response: httpx.Response) -> str:
    """Return what the server said went wrong, as one line of at most 300 characters."""
    text = response.text
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        text = str(body["error"])
    return " ".join(text.split())[:300] or "no explanation"
