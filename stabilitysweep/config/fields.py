"""The kinds of number a setting may be, each with its expectation in words.

Texts that are numbers count as numbers (`"1e-4"`); booleans do not, although Python
would take `true` for 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

_T = TypeVar("_T")

LARGEST_NUMBER = 3.4028234663852886e38
"""float32's largest finite number: beyond it a setting would itself be infinite."""

LARGEST_WHOLE = 2**31 - 1
"""The largest whole number of a setting: steps and sizes are counted in int32."""

FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""How `module:function` is written."""

REFUSED = "refused"
"""The pydantic error type of `refuse`."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a field takes, in words; pydantic ignores it, error messages are made of it.

    Attributes:
        text: completes "expected ...".
    """

    text: str


@dataclass(frozen=True, slots=True)
class NoKey:
    """Marks a field that no key of a config stands for."""


def refuse(key: str, expected: str, got: str) -> PydanticCustomError:
    """The error that a validator of ours raises.

    Args:
        key: the key of the model to blame; empty in the validator of a single field.
        expected: completes "expected ...".
        got: completes "got ...".

    Returns:
        The error, of type `REFUSED`, with the three texts as its context.
    """
    return PydanticCustomError(
        REFUSED,
        "{key}: expected {expected}, got {got}",
        {"key": key, "expected": expected, "got": got},
    )


class Settings(BaseModel):
    """A section of a config: frozen, and no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    later: ClassVar[frozenset[str]] = frozenset()
    """Settings that came after the first trials were stored."""

    def unsaid(self) -> set[str]:
        """The later settings that are at their default, and so change no trial's meaning.

        Left out of a trial's id, they let results of before they came be extended.
        """
        fields = type(self).model_fields
        return {name for name in self.later if getattr(self, name) == fields[name].default}


def different(values: tuple[_T, ...]) -> tuple[_T, ...]:
    """Refuse a value that stands twice, as a validator."""
    if len(set(values)) != len(values):
        raise ValueError("repeated")
    return values


def without_alias(aliases: Mapping[str, str]) -> BeforeValidator:
    """Turn second names of a thing into the first, before validation."""
    return BeforeValidator(lambda name: aliases.get(name, name) if isinstance(name, str) else name)


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number, not a boolean")
    return value


def _without_negative_zero(value: float) -> float:
    return value + 0.0


_Number = Annotated[
    float,
    Field(allow_inf_nan=False),
    BeforeValidator(_refuse_boolean),
    AfterValidator(_without_negative_zero),
]
_Whole = Annotated[int, BeforeValidator(_refuse_boolean)]

# In words, for fields that also take something else.
ABOVE_ZERO = "a number above 0 (at most 3.4e38, the largest of float32)"
AT_LEAST_ZERO = "a number of at least 0 (at most 3.4e38, the largest of float32)"
WHOLE_ABOVE_ZERO = f"a whole number from 1 to {LARGEST_WHOLE:,}"

Flag = Annotated[StrictBool, Expected("true or false")]
PositiveNumber = Annotated[_Number, Field(gt=0, le=LARGEST_NUMBER), Expected(ABOVE_ZERO)]
NonNegativeNumber = Annotated[_Number, Field(ge=0, le=LARGEST_NUMBER), Expected(AT_LEAST_ZERO)]
FiniteNumber = Annotated[_Number, Expected("a finite number")]
Fraction = Annotated[_Number, Field(ge=0, lt=1), Expected("a number of at least 0 and less than 1")]
Rate = Annotated[_Number, Field(gt=0, le=1), Expected("a number above 0 and at most 1")]

PositiveWhole = Annotated[_Whole, Field(ge=1, le=LARGEST_WHOLE), Expected(WHOLE_ABOVE_ZERO)]
NonNegativeWhole = Annotated[
    _Whole,
    Field(ge=0, le=LARGEST_WHOLE),
    Expected(f"a whole number from 0 to {LARGEST_WHOLE:,}"),
]
