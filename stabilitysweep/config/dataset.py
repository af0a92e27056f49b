"""The section `dataset`: which data, how a file of it is read, and how it is split."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    model_validator,
)

from stabilitysweep.config.fields import (
    FUNCTION,
    WHOLE_ABOVE_ZERO,
    Expected,
    Flag,
    Fraction,
    NonNegativeWhole,
    PositiveWhole,
    Settings,
    different,
    refuse,
)
from stabilitysweep.config.names import (
    DATASETS,
    FILE_ENDINGS,
    GENERATORS,
    KERAS_DATASETS,
    TEXT_ENDINGS,
    BundledDataset,
    GeneratedDataset,
    KerasDataset,
)

_Text = Annotated[StrictStr, Field(min_length=1)]
_Columns = Annotated[tuple[_Text, ...], AfterValidator(different)]
_COLUMNS = "a list of different names of columns"

_SEPARATOR = r"^[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]$"


def _as_texts(values: Any) -> Any:
    """Marks of missing values: a number is the same however it is written."""
    if not isinstance(values, list | tuple):
        return values
    if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in values):
        raise ValueError("neither text nor number")
    texts = tuple(str(value) for value in values)
    different(tuple(map(_by_value, texts)))
    return texts


def _by_value(text: str) -> str | float:
    """Return the number that a text is, or else the text."""
    # float takes 1_000 for a thousand; in a data file that is text.
    if "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return text if math.isnan(number) else number


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise ValueError("unknown") from error
    return name


def is_text_file(path: str) -> bool:
    """Whether a path ends as a file of separated text does, compressed or not."""
    return path.lower().endswith(TEXT_ENDINGS) or not path.lower().endswith(FILE_ENDINGS)


def _plain(value: Any) -> Any:
    """Pass what JSON can hold, so that it can be stored, hashed and loaded again."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
    raise ValueError("not plain")


class DatasetSettings(Settings):
    """Which data, and how it is split.

    A plain text stands for `{path: TEXT}` if it ends as a file of data does, for
    `{function: TEXT}` if it is `module:function`, and otherwise for `{name: TEXT}`.

    Attributes:
        name: one of scikit-learn's data sets or generators, or of Keras' data sets.
        path: a CSV, Parquet or NPZ file, as the user wrote it: relative to the config's
            folder. Which it is, is told from its ending; CSV may be compressed.
        function: `module:function`, a function of the user's that returns the data.
        target: the column to predict; required with `path`, refused with `name`; with
            `function` needed where it returns one table.
        options: arguments of a generator (`make_...`) or of the function; plain values.
        features: the columns that are inputs, None for all but the target.
        exclude: columns that are no inputs.
        categorical: columns of numbers that are categories.
        missing_values: texts or numbers that stand for a missing value, beside the usual.
        separator: of the columns of a CSV file, one ASCII character; None: told from the file.
        decimal: the decimal point of a CSV file.
        encoding: of the text of a CSV file.
        header: whether a CSV file begins with the names of its columns.
        missing_target: what becomes of a row whose target is missing: `refuse` the data, or
            `drop` the row.
        rows: how many rows to draw at random, None for all.
        sample_seed: seed of that draw.
        drop_duplicates: whether rows that occur again are left out, target included.
        validation_path: a file like `path`, whose rows are those held out.
        validation_fraction: share of the rows held out, 0 <= f < 1; 0 trains on every row.
            Not used where the data has its own validation rows.
        split_seed: seed of the split, the same for all trials; 0 to 2**31 - 1.
        stratify: whether each class has the same share on both sides of the split.
        given_label: the `label` key: what the table calls this data set.
    """

    # `label` is the property that always has a text; `given_label` is what the user wrote.
    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True
    )

    later = frozenset(
        {"exclude", "categorical", "missing_values", "decimal", "encoding", "header"}
        | {"missing_target", "sample_seed", "drop_duplicates", "stratify"}
    )

    name: Annotated[
        BundledDataset | GeneratedDataset | KerasDataset | None,
        Expected(
            f"a known data set ({', '.join(DATASETS)}), or else the 'path' of a file or a "
            "'function' (module:function)"
        ),
    ] = None
    path: Annotated[_Text | None, Expected(f"the path of a file ({', '.join(FILE_ENDINGS)})")] = (
        None
    )
    function: Annotated[
        Annotated[StrictStr, Field(pattern=FUNCTION)] | None,
        Expected("a function that returns the data, as 'module:function'"),
    ] = None
    target: Annotated[_Text | None, Expected("the name of a column, as text")] = None
    options: Annotated[
        dict[str, Any],
        BeforeValidator(_plain),
        Expected("a mapping of arguments to plain, finite values"),
    ] = Field(default_factory=dict)
    features: Annotated[_Columns | None, Expected(_COLUMNS)] = None
    exclude: Annotated[_Columns, Expected(_COLUMNS)] = ()
    categorical: Annotated[_Columns, Expected(_COLUMNS)] = ()
    missing_values: Annotated[
        tuple[str, ...],
        BeforeValidator(_as_texts),
        Expected("a list of different texts or numbers (1 and 1.0 are one), such as ['?', -999]"),
    ] = ()
    separator: Annotated[
        Annotated[StrictStr, Field(pattern=_SEPARATOR)] | None,
        Expected("one ASCII character other than a quote or a line break, such as ';' or \"\\t\""),
    ] = None
    decimal: Annotated[Literal[".", ","], Expected("'.' or ','")] = "."
    encoding: Annotated[
        Annotated[StrictStr, AfterValidator(_known_encoding)],
        Expected("a text encoding Python knows, such as utf-8 or latin-1"),
    ] = "utf-8"
    header: Flag = True
    missing_target: Literal["refuse", "drop"] = "refuse"
    rows: Annotated[PositiveWhole | None, Expected(WHOLE_ABOVE_ZERO)] = None
    sample_seed: NonNegativeWhole = 0
    drop_duplicates: Flag = False
    validation_path: Annotated[_Text | None, Expected("the path of a file")] = None
    validation_fraction: Fraction = 0.2
    split_seed: NonNegativeWhole = 0
    stratify: Flag = False
    given_label: Annotated[
        Annotated[StrictStr, Field(min_length=1, max_length=100)] | None,
        Expected("a text of at most 100 characters"),
    ] = Field(default=None, alias="label")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data.lower().endswith(FILE_ENDINGS):
                return {"path": data}
            return {"function" if ":" in data else "name": data}
        name = data.get("name") if isinstance(data, Mapping) else None
        if isinstance(name, str) and ":" in name and "function" not in data:
            return {key: value for key, value in data.items() if key != "name"} | {"function": name}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for key, expected, got in self._misfits():
            raise refuse(key, expected, got)
        return self

    def _misfits(self) -> Iterator[tuple[str, str, str]]:
        """What the keys of one data set say against each other: key, expected, got."""
        kinds = {"name": self.name, "path": self.path, "function": self.function}
        given = [key for key, value in kinds.items() if value is not None]
        one = "one of 'name', 'path' and 'function'"
        if not given:
            yield "name", one, "none of them"
        if len(given) > 1:
            yield given[-1], one, " and ".join(map(repr, given))
        if self.path is not None and self.target is None:
            yield "target", "the name of the column to predict in the file", "nothing"
        if self.name is not None and self.target is not None:
            yield "target", f"none, since {self.name!r} has its own", repr(self.target)
        if self.options and self.function is None and self.name not in GENERATORS:
            kind = "a file" if self.name is None else repr(self.name)
            generators = ", ".join(GENERATORS)
            yield (
                "options",
                f"none, since {kind} is no function or generator (one of {generators})",
                ", ".join(map(repr, self.options)),
            )
        if self.path is None or not is_text_file(self.path):
            for key in ("separator", "decimal", "encoding", "header"):
                value = getattr(self, key)
                if value != type(self).model_fields[key].default:
                    yield key, "none: it is about CSV files", repr(value)
        if self.validation_path is not None and self.path is None:
            yield "validation_path", "a 'path' to go with it", "nothing"
        own = None if self.validation_path is None else "the file of 'validation_path' is"
        if self.name in KERAS_DATASETS:
            own = "its test rows are"
        usual = type(self).model_fields["validation_fraction"].default
        if own is not None and self.validation_fraction != usual:
            expected = f"none, since {own} what is held out"
            yield "validation_fraction", expected, f"{self.validation_fraction:g}"
        if self.sample_seed and self.rows is None:
            yield "sample_seed", "'rows' to go with it: else all are used", str(self.sample_seed)
        if own is not None or self.validation_fraction == 0:
            held_out = "none is" if own is None else f"{own} what is"
            for key in ("split_seed", "stratify"):
                if value := getattr(self, key):
                    expected = f"none, since the rows are not split: {held_out} held out"
                    yield key, expected, str(value).lower()
        both = set(self.features or ()) & set(self.exclude)
        if both:
            yield "exclude", "columns that are not among 'features'", ", ".join(sorted(both))
        left_out = sorted(set(self.categorical) & set(self.exclude))
        if left_out:
            yield "categorical", "columns that are not under 'exclude'", ", ".join(left_out)
        if self.features is not None and not set(self.categorical) <= set(self.features):
            others = sorted(set(self.categorical) - set(self.features))
            yield "categorical", "columns out of 'features'", ", ".join(others)
        if self.target is not None and self.target in (self.features or ()):
            yield "features", "columns other than the target", repr(self.target)

    @property
    def label(self) -> str:
        """What the trials table calls it: given, or the name, the function or the file's stem."""
        if self.given_label or self.name:
            return str(self.given_label or self.name)
        if self.function is not None:
            return self.function.partition(":")[2]
        name = PurePath(self.path or "").name
        endings = [ending for ending in FILE_ENDINGS if name.lower().endswith(ending)]
        longest = max(map(len, endings), default=0)
        return name[:-longest] if 0 < longest < len(name) else PurePath(name).stem
