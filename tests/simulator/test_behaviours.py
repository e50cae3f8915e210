"""What the model's name chooses, the values it makes up, and how texts are cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from gai_rx.simulator import MODELS, Answer, Asked, Fault, OfferedTool, behave
from gai_rx.simulator.samples import sample
from gai_rx.simulator.script import cut_up

WEATHER = OfferedTool(
    "weather",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 3},
            "unit": {"enum": ["kelvin", "celsius"]},
        },
        "required": ["city"],
    },
)


def ask(model: str, **more: Any) -> Answer:
    return behave(Asked("openai_chat", model=model, prompt="Hello there.", **more))


@pytest.mark.parametrize("model", [*MODELS, "gpt-5", ""])
def test_every_model_answers_and_is_paced(model: str) -> None:
    answer = ask(model)
    assert answer.pieces()
    assert answer.delay > 0
    assert answer.fault is None


@pytest.mark.parametrize("model", ["echo", "story", "tools", "gpt-5"])
def test_text_says_that_it_is_simulated(model: str) -> None:
    assert "simulator" in ask(model).text


def test_unknown_models_are_an_echo() -> None:
    assert ask("gpt-5").text.endswith("You said: Hello there.")


def test_reasoning_thinks_before_it_answers() -> None:
    assert "think" in ask("reasoning").reasoning


def test_tools_calls_the_first_tool_and_then_tells_its_result() -> None:
    [call] = ask("tools", tools=(WEATHER, OfferedTool("other"))).tool_calls
    assert call.name == "weather"
    assert call.arguments == {"city": "Paris", "days": 3, "unit": "kelvin"}
    after = ask("tools", tools=(WEATHER,), tool_results=("4 °C",))
    assert not after.tool_calls
    assert "4 °C" in after.text


def test_an_object_fits_its_schema_whatever_the_model() -> None:
    for model in ("object", "gpt-5"):
        assert ask(model, schema=WEATHER.parameters).object["city"] == "Paris"
    assert isinstance(ask("object").object, dict)


def test_a_fault_is_named_by_the_model() -> None:
    for model in ("cut:at=120", "error:cut:at=120", "models/cut:at=120"):
        assert ask(model).fault == Fault("cut", at=120)


def test_a_misspelt_fault_is_told() -> None:
    fault = ask("cut:where=3").broken_by
    assert fault is not None
    assert fault.refusal is not None
    assert "where=3" in fault.refusal.message


class Leaf(BaseModel):
    name: str = Field(min_length=12, max_length=20)
    short: str = Field(max_length=3)
    share: float = Field(gt=0, lt=0.5)
    steps: int = Field(multiple_of=5, ge=7)
    above: int = Field(gt=3)
    below: float = Field(lt=-2)


class Tree(BaseModel):
    leaves: list[Leaf] = Field(min_length=3, max_length=4)
    maybe: int | None
    pair: tuple[int, str]
    children: list["Tree"]
    left: "Tree | None" = None


def test_samples_fit_what_pydantic_asks_for() -> None:
    Tree.model_validate(sample(Tree.model_json_schema()), strict=False)


@given(st.text())
def test_no_character_is_lost_between_words(text: str) -> None:
    assert "".join(cut_up(text)) == text


def test_deltas_can_be_told() -> None:
    assert Answer(deltas=["a", "", "b c"]).pieces() == ["a", "b c"]
    assert "".join(Answer(object={"a": [1, 2, {"b": "ä"}]}).pieces()) == '{"a": [1, 2, {"b": "ä"}]}'


def test_nonsense_in_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="piece"):
        Answer(piece=0)
    with pytest.raises(ValueError, match="seconds"):
        Answer(delay=-1)
    with pytest.raises(ValueError, match="no fault is called"):
        Answer(fault="cutt")
