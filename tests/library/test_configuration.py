"""What is no number in a form of numbers."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from alphafoundry.configuration import NumbersOnly


class Form(NumbersOnly):
    """Numbers in the ways in which a form may ask for them, and what may be true."""

    plain: int = 0
    bounded: Annotated[float, Field(gt=0)] = 1.0
    optional: int | None = None
    both: Annotated[float, Field(gt=0)] | None = None
    several: list[int] = Field(default_factory=list)
    pair: tuple[float, ...] = ()
    flag: bool = False
    either: bool | int = 0


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", ["plain", "bounded", "optional", "both", "several", "pair"])
def test_true_and_false_are_no_numbers(name: str, value: bool) -> None:
    given: Any = [1, value] if name in ("several", "pair") else value
    with pytest.raises(ValidationError, match="is not a number"):
        Form(**{name: given})


def test_numbers_are_numbers_and_flags_are_flags() -> None:
    given: dict[str, Any] = {
        **{"plain": 2, "bounded": 0.5, "optional": None, "both": 3, "several": [1, 2]},
        **{"pair": (1.0, 2.0), "flag": True, "either": True},
    }
    assert Form(**given).model_dump() == given
