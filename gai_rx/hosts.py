"""Hosts as data: who is asked, how, and where; a host that speaks a known dialect is one row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from gai_rx.dialects import DIALECTS, Quirks

__all__ = ["HOSTS", "Endpoint", "Host"]


@dataclass(frozen=True)
class Endpoint:
    """Where a host is, for hosts that are started on first use."""

    base_url: str
    key: SecretStr | None = None


@dataclass(frozen=True)
class Host:
    """One row of data: who is asked, how, and where."""

    dialect: str
    base_url: str | None = None
    key_variable: str | None = None
    """Environment variable of the key; None where no key is needed."""
    default_model: str | None = None
    quirks: Quirks = field(default_factory=Quirks)
    key_header: str | None = None
    """Instead of the dialect's."""
    url_variable: str | None = None
    """Environment variable of the base URL."""
    key_optional: bool = False
    query: str = ""
    """Added to every URL."""
    start: Callable[[str], Awaitable[Endpoint]] | None = None
    """Starts the host in this process, given the model; for `local` and `simulator`."""


async def _start_local(model: str) -> Endpoint:
    from gai_rx.local import serve_model  # loaded only where it is asked for

    served = await serve_model(model)
    return Endpoint(served.base_url + "/v1", served.key)


async def _start_simulator(model: str) -> Endpoint:
    from gai_rx.simulator import shared  # loaded only where it is asked for

    return Endpoint((await shared()).url + "/v1")


HOSTS: dict[str, Host] = {
    "openai": Host("openai_responses", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-5-mini"),
    "openai-chat": Host(
        "openai_chat",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "gpt-5-mini",
        Quirks(max_tokens_field="max_completion_tokens", system_role="developer"),
    ),
    "azure": Host(
        "openai_chat",
        None,
        "AZURE_OPENAI_API_KEY",
        None,
        Quirks(max_tokens_field="max_completion_tokens"),
        key_header="api-key",
        url_variable="AZURE_OPENAI_BASE_URL",
    ),
    "anthropic": Host(
        "anthropic_messages", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "claude-sonnet-4-5"
    ),
    "gemini": Host(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        "gemini-2.5-flash",
    ),
    "ollama": Host(
        "ollama",
        "http://127.0.0.1:11434",
        "OLLAMA_API_KEY",
        "llama3.2",
        url_variable="OLLAMA_BASE_URL",
        key_optional=True,
    ),
    "local": Host("openai_chat", default_model="smollm2", start=_start_local),
    "mistral": Host(
        "openai_chat",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "mistral-small-latest",
        Quirks(stream_usage=False, effort=None, seed_field="random_seed", required_choice="any"),
    ),
    "cohere": Host("cohere", "https://api.cohere.com/v2", "COHERE_API_KEY", "command-a-03-2025"),
    "groq": Host(
        "openai_chat",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        "llama-3.3-70b-versatile",
        # A schema, or JSON mode, does not go together with streaming here.
        Quirks(max_tokens_field="max_completion_tokens", json_schema=False, without_schema="tool"),
    ),
    "deepseek": Host(
        "openai_chat",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        "deepseek-chat",
        Quirks(json_schema=False),
    ),
    "xai": Host("openai_chat", "https://api.x.ai/v1", "XAI_API_KEY", "grok-4"),
    "openrouter": Host(
        "openai_chat",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "openrouter/auto",
        Quirks(effort="reasoning", reasoning_field="reasoning"),
    ),
    "together": Host(
        "openai_chat",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    "fireworks": Host(
        "openai_chat",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
    ),
    "cerebras": Host(
        "openai_chat",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        "llama-3.3-70b",
        Quirks(max_tokens_field="max_completion_tokens"),
    ),
    "perplexity": Host(
        "openai_chat",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        "sonar",
        Quirks(stream_usage=False),
    ),
    "moonshot": Host(
        "openai_chat",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        "kimi-k2-0905-preview",
        Quirks(reasoning_field="reasoning_content", json_schema=False),
    ),
    "alibaba": Host(
        "openai_chat",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        "qwen-plus",
        Quirks(effort="enable_thinking", json_schema=False),
    ),
    "huggingface": Host(
        "openai_chat",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        "meta-llama/Llama-3.3-70B-Instruct",
    ),
    "vllm": Host(
        "openai_chat",
        "http://127.0.0.1:8000/v1",
        "VLLM_API_KEY",
        None,
        url_variable="VLLM_BASE_URL",
        key_optional=True,
    ),
    "lmstudio": Host(
        "openai_chat",
        "http://127.0.0.1:1234/v1",
        "LMSTUDIO_API_KEY",
        None,
        url_variable="LMSTUDIO_BASE_URL",
        key_optional=True,
    ),
    "compat": Host("openai_chat", None, "COMPAT_API_KEY", None, key_optional=True),
    "simulator": Host("openai_chat", default_model="story", start=_start_simulator),
}
for _name in DIALECTS:  # a dialect named directly, for any host that speaks it
    HOSTS.setdefault(_name, Host(_name, key_optional=True))
