"""A provider whose answers are mostly cut and confirm no region, beside one that `echo` stands in for."""

from pathlib import Path

import pytest

from tests.support.provider_server import Behaviour, ProviderServer, answer, by_question

MODELS = [{"id": "called", "provider": "chat"}, {"id": "echoed", "provider": "stand-in"}]


def cut(*, region: str | None = None) -> Behaviour:
    """Answer with what was cut off at its longest; it says which region served, or not."""
    message = {"role": "assistant", "content": "It"}
    return answer(region=region, choices=[{"index": 0, "message": message, "finish_reason": "length"}])


BY_QUESTION = {
    "Whole?": answer(region="us-east"),
    "Cut?": cut(region="us-east"),
    "Cut, and who knows where?": cut(),
    "Whole, and who knows where?": answer(),
}


@pytest.fixture
def cut_answers_config(provider: ProviderServer, tmp_path: Path) -> Path:
    """A file that configures both providers."""
    provider.behave = by_question(BY_QUESTION, cut())
    path = tmp_path / "breakwater.toml"
    path.write_text(provider.config(name="chat") + '[providers.stand-in]\ntype = "echo"\n')
    return path
