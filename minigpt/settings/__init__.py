"""Every setting once, in frozen dataclasses whose fields carry range, help text and panel. Loads no torch, no typer."""

from collections.abc import Mapping
from typing import Any

from minigpt.settings.commands import (
    X_AXES,
    Y_AXES,
    ContestSettings,
    CurveSettings,
    Exploring,
    ExportSettings,
    ImportSettings,
    Windows,
)
from minigpt.settings.common import (
    DEVICES,
    FOLDER_DTYPES,
    GGUF_DTYPES,
    MANY,
    PAGE_DTYPES,
    PRECISIONS,
    SEEDS,
    Beginning,
    FileAndModel,
    Machine,
    Reading,
    Source,
    Weights,
    check_stored,
)
from minigpt.settings.fields import (
    Range,
    Setting,
    Settings,
    build,
    one_of,
    require,
    require_choice,
    setting,
    settings_of,
    up_to,
)
from minigpt.settings.model import ACTIVATIONS, DEFAULT_WINDOW, MODELS, PAIR_MODELS, PLANNED, PRESETS, ModelConfig
from minigpt.settings.sampling import (
    FILTERS,
    HEATS,
    TEMPERATURES,
    AskedFilters,
    Drawing,
    FilterSpec,
    SampleConfig,
    SampleKept,
    SampleShown,
    SampleSource,
    TokenBias,
)
from minigpt.settings.training import (
    DEFAULT_MINUTES,
    MOST_MINUTES,
    MOST_STEPS,
    PANELS,
    TOKENIZERS,
    Choices,
    CorpusSettings,
    Length,
    Output,
    TextFormat,
    TextSettings,
    TrainConfig,
    TrainMachine,
)

# The ranges of the numbers that commands take, by the setting's name, without those of the views.
_TRAINING = (Choices, Length, TrainConfig, TrainMachine, Output)
_SAMPLING = (SampleConfig, Drawing, SampleShown, SampleKept)
RANGES: dict[str, Range] = {
    name: described.range
    for kind in (*_TRAINING, *_SAMPLING, Windows, CurveSettings)
    for name, described in settings_of(kind).items()
    if described.range is not None
}


def check_ranges(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first of `values` that is a number outside the range of its name."""
    for name, value in values.items():
        if name in RANGES and type(value) in (int, float):
            RANGES[name].check(name, value)
