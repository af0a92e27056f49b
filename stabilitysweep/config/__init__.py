"""The config: a YAML file checked into frozen settings, with line numbers in errors."""

from stabilitysweep.config.axes import AXIS_SETTINGS, DATASET, SECTIONS, AxisSetting
from stabilitysweep.config.dataset import DatasetSettings
from stabilitysweep.config.fields import Settings
from stabilitysweep.config.load import load_config, parse_config
from stabilitysweep.config.names import (
    ACTIVATIONS,
    COMPILED_SETTINGS,
    DATASETS,
    GENERATORS,
    INITIALIZERS,
    default_target_scaling,
    default_weight_decay,
)
from stabilitysweep.config.settings import (
    ModelSettings,
    PreprocessingSettings,
    TrainingSettings,
)
from stabilitysweep.config.sweep import SweepConfig

__all__ = [
    "ACTIVATIONS",
    "AXIS_SETTINGS",
    "COMPILED_SETTINGS",
    "DATASET",
    "DATASETS",
    "GENERATORS",
    "INITIALIZERS",
    "SECTIONS",
    "AxisSetting",
    "DatasetSettings",
    "ModelSettings",
    "PreprocessingSettings",
    "Settings",
    "SweepConfig",
    "TrainingSettings",
    "default_target_scaling",
    "default_weight_decay",
    "load_config",
    "parse_config",
]
