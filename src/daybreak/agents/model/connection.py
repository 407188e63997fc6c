"""One model, reached through the gateway in whichever API it has. Nothing here tries again: that is for whoever starts
attempts, who knows the budget and the breaker."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from daybreak.agents.model.failing import Failed, failed
from daybreak.agents.model.options import Options
from daybreak.agents.model.tools import Tool
from daybreak.agents.protocol import Gateway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from httpx2 import AsyncClient
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

CONNECT_S = 15.0
_T = TypeVar("_T")
_Closing = Callable[[], Awaitable[object]]


class Connection:
    """A context manager with an event loop and a thread of its own, so that it can be used from any other.

    `now` tells the time of day, for when a quota comes back.
    """

    def __init__(self, gateway: Gateway, options: Options, tools: Iterable[Tool], now: Callable[[], datetime]) -> None:
        self._gateway = gateway
        self._options = options
        self._tools = tuple(tools)
        self._now = now
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)
        self._model: Model | None = None
        self._closing: list[_Closing] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def ask(self, messages: Sequence[ModelMessage], *, answer_tokens: int, time_s: float) -> ModelResponse:
        """The model's answer, whole. Raises Failed."""
        try:
            return self._wait(self._asked(messages, answer_tokens, time_s))
        except Failed:
            raise
        except Exception as error:
            raise failed(error, self._now()) from error

    # -- inside

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _asked(self, messages: Sequence[ModelMessage], answer_tokens: int, time_s: float) -> ModelResponse:
        from pydantic_ai.direct import model_request
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        if self._model is None:
            self._model = self._made()
        tools = [
            ToolDefinition(name=one.name, description=one.about, parameters_json_schema=one.schema, strict=False)
            for one in self._tools
        ]
        parameters = ModelRequestParameters(function_tools=tools, allow_text_output=True)
        settings: ModelSettings = {"max_tokens": answer_tokens, "timeout": time_s}
        if self._options.temperature is not None:
            settings["temperature"] = self._options.temperature
        async with asyncio.timeout(time_s):
            return await model_request(
                self._model, messages, model_settings=settings, model_request_parameters=parameters
            )

    def _made(self) -> Model:
        import httpx2

        # No proxy of the environment: the gateway is on this machine's loopback, and speaks without TLS. So nobody's
        # certificate is trusted, and none is loaded, which would take longer than all the rest.
        client = httpx2.AsyncClient(
            trust_env=False,
            verify=_trusts_nobody(),
            timeout=httpx2.Timeout(self._options.request_s, connect=CONNECT_S),
        )
        self._closing.append(client.aclose)
        makers = {"openai": self._openai, "anthropic": self._anthropic, "gemini": self._gemini}
        return makers[self._gateway.api](client)

    def _openai(self, http: AsyncClient) -> Model:
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile, openai_model_profile
        from pydantic_ai.providers.openai import OpenAIProvider

        client = AsyncOpenAI(
            base_url=f"{self._gateway.url}/openai/v1", api_key=self._gateway.token, max_retries=0, http_client=http
        )
        provider = OpenAIProvider(openai_client=client)
        name = self._gateway.model
        if self._options.responses:
            return OpenAIResponsesModel(name, provider=provider)
        # Servers that only copy the API know `max_tokens`; OpenAI's newer models only the other one.
        is_theirs = name.startswith(("gpt-", "o1", "o3", "o4", "chatgpt"))
        copied: OpenAIModelProfile = {
            "openai_supports_strict_tool_definition": is_theirs,
            "openai_chat_supports_max_completion_tokens": is_theirs,
        }
        profile = cast(OpenAIModelProfile, {**(openai_model_profile(name) or {}), **copied})
        return OpenAIChatModel(name, provider=provider, profile=profile)

    def _anthropic(self, http: AsyncClient) -> Model:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = AsyncAnthropic(
            base_url=f"{self._gateway.url}/anthropic", api_key=self._gateway.token, max_retries=0, http_client=http
        )
        return AnthropicModel(self._gateway.model, provider=AnthropicProvider(anthropic_client=client))

    def _gemini(self, http: AsyncClient) -> Model:
        from google.genai import Client
        from google.genai.types import HttpOptions, HttpRetryOptions
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        options = HttpOptions(
            base_url=f"{self._gateway.url}/gemini",
            httpx_async_client=http,
            client_args={"verify": _trusts_nobody(), "trust_env": False},  # of the other one, which is not used
            retry_options=HttpRetryOptions(attempts=1),
            timeout=int(self._options.request_s * 1000),
        )
        client = Client(vertexai=False, api_key=self._gateway.token, http_options=options)
        self._closing.append(client.aio.aclose)

        async def close() -> None:
            client.close()

        self._closing.append(close)
        return GoogleModel(self._gateway.model, provider=GoogleProvider(client=client))

    async def _close(self) -> None:
        for close in reversed(self._closing):
            await close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


def _trusts_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
