"""The ids of trials: what a trial means, as one canonical text, hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from stabilitysweep.config import (
    COMPILED_SETTINGS,
    DatasetSettings,
    ModelSettings,
    PreprocessingSettings,
    Settings,
    TrainingSettings,
    default_target_scaling,
    default_weight_decay,
)

DECIDED_BY: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "weight_decay": ("optimizer", default_weight_decay),
    "target_scaling": ("loss", default_target_scaling),
}
"""Settings whose null means a value that another setting decides on."""


def trial_id(
    dataset: DatasetSettings,
    preprocessing: PreprocessingSettings,
    model: ModelSettings,
    training: TrainingSettings,
    seed: int,
    given: Collection[str] = (),
) -> str:
    """The id of a trial: a hash of what it means, and of nothing else.

    What enters is one JSON object with sorted keys and no spaces:

    - `dataset`: all its settings that are not None, `path` as the user wrote it, and its
      label whether given or not; the content of a file does not enter, nor its folder;
    - `preprocessing`, `model`, `training`: every setting, defaults included, but
      `training.metrics`, which changes no weight, and `training.epochs` where it is None;
    - of all of these, a setting that came later (`Settings.later`) only where it is not its
      default;
    - `seed`.

    Of a user's build, `model` is its path and an object `hp`, and of the settings of
    `training` on which a compiled model may decide (`COMPILED_SETTINGS`) only those enter
    that the config gives. Nothing does that only building the model tells but the `hp` that
    it asks for: so `target_scaling` is as in the config, null where the loss decides on it.

    Numbers without a fraction are written as whole numbers, so 0 and 0.0 are the same. The
    settings are to be resolved as those of a `Trial` are: then it is all one whether a
    setting is an axis or in its section, given or left to its default, in epochs or in
    steps, and which other values, axes and seeds the grid has.

    Args:
        dataset: the data set.
        preprocessing: resolved; of a build, with the `target_scaling` of the config.
        model: the network; of a build, with the `hp` that it asked for.
        training: resolved.
        seed: at least 0.
        given: `SweepConfig.given`; without meaning for the built-in model.

    Returns:
        16 hexadecimal digits: 8 bytes of BLAKE2b.
    """
    texts = (
        dataset_text(dataset),
        settings_text(preprocessing),
        settings_text(model),
        settings_text(training, uncounted(model, given)),
    )
    return digest(text_around_seed(*texts), seed)


def uncounted(model: ModelSettings, given: Collection[str]) -> set[str]:
    """The settings of training that do not enter an id, since they may not be the model's."""
    return set() if model.build is None else set(COMPILED_SETTINGS).difference(given)


def text_around_seed(
    dataset: str, preprocessing: str, model: str, training: str
) -> tuple[str, str]:
    """What is hashed, before and behind the seed."""
    return (
        f'{{"dataset":{dataset},"model":{model},"preprocessing":{preprocessing},"seed":',
        f',"training":{training}}}',
    )


def digest(text: tuple[str, str], seed: int) -> str:
    """The id of a text with a seed in it."""
    whole = f"{text[0]}{seed}{text[1]}"
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def dataset_text(dataset: DatasetSettings) -> str:
    """What a data set is to a trial's id: two that mean the same have the same text."""
    content = dataset.model_dump(exclude={"given_label"} | dataset.unsaid(), exclude_none=True)
    return canonical({**content, "label": dataset.label})


def settings_text(settings: Settings, uncounted: Collection[str] = ()) -> str:
    """What a section is to a trial's id, but the settings that are not to count."""
    if isinstance(settings, ModelSettings) and settings.build is not None:
        return canonical({"build": settings.build, "hp": dict(settings.hp)})
    content = settings.model_dump(exclude={"metrics", *uncounted} | settings.unsaid())
    if content.get("epochs", 0) is None:
        del content["epochs"]
    return canonical(content)


def canonical(content: Any) -> str:
    """Content as the one JSON text it has."""
    return json.dumps(
        with_whole_numbers(content), sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def with_whole_numbers(content: Any) -> Any:
    """Plain content with every number that has no fraction as a whole one."""
    match content:
        case float() if content.is_integer():
            return int(content)
        case dict():
            return {key: with_whole_numbers(value) for key, value in content.items()}
        case list() | tuple():
            return [with_whole_numbers(value) for value in content]
    return content


def decided(setting: str, value: Any, decider: Any) -> Any:
    """The value meant by one that may be null."""
    return DECIDED_BY[setting][1](decider) if value is None else value
