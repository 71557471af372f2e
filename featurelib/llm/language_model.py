"""A language model behind any server that speaks OpenAI's chat completions, asked through the library openai.

The key comes from OPENAI_API_KEY and is sent to that server only: it is written into no file and no message.
"""

from __future__ import annotations

import importlib.util
import os
import urllib.parse
from typing import Any, NamedTuple

from featurelib.llm.context import LEAST_CONTEXT, PER_TOKEN, answer_tokens, fit, read_context
from featurelib.llm.prompts import Question
from featurelib.schema import Refusal

KEY = "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent where no key is set: a server of one's own needs none, but the client library must have one."""
TIMEOUT = 600.0
"""Seconds until a question without an answer counts as lost: a server without a GPU answers six at once slowly, and
some (`transformers serve`) go on with a question that nobody waits for."""
RETRIES = 5
"""How often a question is repeated that was lost or refused for the moment (408, 409, 429, 5xx). The client waits half
a second, then twice as long each time up to 8 seconds, or as long as the server says up to two minutes."""
OPTIONAL = {"temperature": "temperature", "max_tokens": "max_tokens", "system": "system role"}
"""Settings that some servers refuse, and the words in their error message by which that is recognised."""
AGAIN_TEMPERATURE = 0.7
"""Of a question that is asked again, since at 0 the answer would be the same."""


class Answer(NamedTuple):
    """What the model answered."""

    text: str
    """'' for an empty answer."""
    tokens_in: int
    """As the server counts them; 0 where it does not."""
    tokens_out: int


def host_of(url: str) -> str:
    """Return the server's name and port, without a password or key that the address may hold."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"


def check_language_model(url: str | None, model: str | None) -> None:
    """Refuse an address or a model name that cannot be used, and a client library that is not installed."""
    if bool(url) != bool(model):
        raise Refusal(
            "--labeller names a server but --labeller-model no model on it; give both, or neither."
            if url
            else "--labeller-model names a model but --labeller no server; give both, or neither."
        )
    if not url:
        return
    _check_url(url)
    if importlib.util.find_spec("openai") is None:
        raise Refusal("--labeller needs its client, which is not installed: pip install openai.")
    key = os.environ.get(KEY, "").strip()
    if not key.isascii() or not key.isprintable():
        raise Refusal(f"{KEY} holds characters that no key has; set it to the key alone.")


def _check_url(url: str) -> None:
    example = "give one such as http://localhost:8000/v1"
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    # The address is not repeated: it may hold a password.
    if not known:
        raise Refusal(f"--labeller is not an address that begins with http:// or https://; {example}.")
    if parts.username is not None or parts.password is not None:
        raise Refusal(f"--labeller holds a user name or a password; put the key into {KEY} and {example}.")
    if parts.query or parts.fragment:
        raise Refusal(f"--labeller holds more than an address ('?' or '#'); {example}.")


class LanguageModel:
    """One model on one server; may be asked from several threads at once."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        context: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> None:
        """Prepare the client; nothing is sent yet. Refusal as `check_language_model`.

        `context` is how many tokens the model can read; None asks whole texts until the server says that it cannot.
        """
        check_language_model(url, model)
        import openai

        self.model, self.host, self.context = model, host_of(url), context
        self._timeout = TIMEOUT if timeout is None else timeout
        self._tries = 1 + (RETRIES if retries is None else retries)
        self._key = os.environ.get(KEY, "").strip()
        self._client = openai.OpenAI(
            base_url=url, api_key=self._key or NO_KEY, timeout=self._timeout, max_retries=self._tries - 1
        )
        self._refused: frozenset[str] = frozenset()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, question: Question, *, again: bool = False) -> Answer:
        """Ask and wait for the answer; `again` says that an answer to the same question could not be read.

        Texts are shortened to what the model can read. Refusal, one sentence, when the server cannot be reached,
        refuses, or does not answer as OpenAI's API does.
        """
        import openai

        while True:
            refused, context = self._refused, self.context
            request = self._request(question, refused, context, again)
            try:
                return self._answer(self._client.chat.completions.create(model=self.model, **request))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._shorten(error, question, request, context) and not self._adapt(str(error), refused):
                    raise self._refusal(error) from error
            except (openai.OpenAIError, ValueError) as error:
                raise error if isinstance(error, Refusal) else self._refusal(error) from error

    def _request(self, question: Question, refused: frozenset[str], context: int | None, again: bool) -> dict[str, Any]:
        material = fit(question, context).material
        messages = [
            {"role": "system", "content": question.instructions},
            {"role": "user", "content": material},
        ]
        if "system" in refused:
            messages = [{"role": "user", "content": f"{question.instructions}\n\n{material}"}]
        settings = {
            "max_completion_tokens" if "max_tokens" in refused else "max_tokens": answer_tokens(question, context)
        }
        temperature = {"temperature": AGAIN_TEMPERATURE if again else 0.0}
        return {"messages": messages, **settings, **({} if "temperature" in refused else temperature)}

    def _shorten(self, error: Any, question: Question, request: dict[str, Any], context: int | None) -> bool:
        """Ask, from now on, for no more than the server says that it can read; whether that was its complaint."""
        characters = sum(len(message["content"]) for message in request["messages"])
        sent = characters // PER_TOKEN + answer_tokens(question, context)
        smaller = read_context(str(error), context or sent)
        if smaller is None:
            return False
        if smaller < LEAST_CONTEXT:
            raise Refusal(
                f"the language model at {self.host} reads too few tokens for a question{self._complaint(error)}; "
                "start its server with a context of 2,048 tokens or more."
            ) from error
        self.context = min(smaller, self.context or smaller)
        return True

    def _adapt(self, complaint: str, refused: frozenset[str]) -> bool:
        """Leave out, from now on, the settings that the server complains about; whether there was a new one."""
        settings = {name for name, words in OPTIONAL.items() if words in complaint.lower()} - refused
        self._refused |= settings
        return bool(settings)

    def _answer(self, completion: Any) -> Answer:
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list) or not all(hasattr(choice, "message") for choice in choices):
            raise self._refusal(None)
        text = choices[0].message.content if choices and choices[0].message else None
        counts = [getattr(completion.usage, name, 0) for name in ("prompt_tokens", "completion_tokens")]
        tokens = [count if isinstance(count, int) else 0 for count in counts]
        return Answer(text if isinstance(text, str) else "", *tokens)

    def _refusal(self, error: Exception | None) -> Refusal:
        """What went wrong, in one sentence."""
        import openai

        server = f"the language model at {self.host}"
        later = "give the same command again, it continues where it stopped"
        if isinstance(error, openai.APITimeoutError):
            return Refusal(
                f"{server} gave no answer within {self._timeout:g} seconds ({self._tries} tries); make it faster, or "
                f"take a smaller model, and {later}."
            )
        if isinstance(error, openai.APIConnectionError):
            return Refusal(f"{server} cannot be reached; start it, or correct --labeller, and {later}.")
        if isinstance(error, openai.APIStatusError):
            return Refusal(f"{server} {self._status(error)}; {later}.")
        return Refusal(
            f"{server} answers, but not as OpenAI's chat completions do; give --labeller the address that such "
            "servers name, which usually ends in /v1."
        )

    def _status(self, error: Any) -> str:
        code = error.status_code
        if code in (401, 403):
            return f"refuses the key ({code}): set {KEY} to one that it knows" + ("" if self._key else " (none is set)")
        if code == 404:
            return f"knows no model '{self.model[:80]}', or that is not its address (404): correct --labeller-model"
        if code == 429:
            return f"still refuses after {self._tries} tries (429): too many questions at once, or a quota is used up"
        return f"refuses a question ({code}{self._complaint(error)})"

    def _complaint(self, error: Any) -> str:
        """The server's own message, without the key."""
        body = error.body if isinstance(error.body, dict) else {}
        message = " ".join(str(body.get("message") or "").split())
        message = message.replace(self._key, "…") if self._key else message
        return f": {message[:160]}" if message else ""
