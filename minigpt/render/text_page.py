"""The steps of a text in; a section of a page out: the text in colours, and behind each token its funnel."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from minigpt.render.heat import SCALES
from minigpt.render.html import Section, running_text, text_before
from minigpt.render.style import token_label
from minigpt.sampling.records import Candidate, StepLogits, StepRecord
from minigpt.settings import STAGES, SampleConfig
from minigpt.text.records import Token

_PENALTY = "repetition-penalty"
_TOP_PS = (*(n / 20 for n in range(1, 19)), 0.92, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
_MIN_PS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_NEUTRAL = {"temperature": 1.0, "top-k": 0.0, "top-p": 1.0, "min-p": 0.0}

Step = StepRecord | StepLogits  # the first token of a text has no logits


def text_section(
    title: str, steps: Iterable[Step], config: SampleConfig | None = None, *, given: int = 0, before: str = ""
) -> Section:
    """A text, token by token, and behind each one its distribution with the funnel.

    `config`: the stages that tokens were drawn with; the sliders stand there at first. `given`: how many tokens of the
    text were not drawn. `before`: a text that is shown without its distributions, before an open question.
    """
    steps = list(steps)
    tokens = _TokenTable()
    penalty = config.repetition_penalty if config and _PENALTY in config.stages else 1.0
    data = {
        "temperatures": next((step.temperatures for step in steps if isinstance(step, StepLogits)), ()),
        "sliders": _sliders(steps, config),
        "penalty": penalty,
        "drawn": config is not None,
        "given": given,
        "before": text_before(before),
        "scales": _scales(),
        "steps": [_step(step, tokens, penalty != 1) for step in steps],
        "tokens": tokens.rows,
    }
    return Section("text", title, data, ("funnel.js", "text.js"))


class _TokenTable:
    """Each token once: [id, label in a table, text in a text]; the second only where it differs."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._numbers: dict[int, int] = {}

    def number(self, token: Token) -> int:
        if token.id not in self._numbers:
            self._numbers[token.id] = len(self.rows)
            label, text = token_label(token), running_text(token)
            self.rows.append([token.id, label, text] if label != text else [token.id, label])
        return self._numbers[token.id]


def _step(step: Step, tokens: _TokenTable, penalised: bool) -> dict[str, Any]:
    record = step.step if isinstance(step, StepLogits) else step
    known = {"token": None if record.token is None else tokens.number(record.token), "position": record.position}
    if isinstance(step, StepRecord):
        return known
    chosen = record.chosen
    return {
        **known,
        "rank": chosen.rank if chosen else None,
        "surprisal": record.surprisal_bits,
        "entropy": record.entropy_bits,
        **_logits(step, step.listed.candidates, tokens),
        **(_penalised(step) if penalised else {}),
    }


def _logits(step: StepLogits, candidates: Sequence[Candidate], tokens: _TokenTable) -> dict[str, Any]:
    """What funnel.js computes with; logits from before a repetition penalty."""
    other, token = step.listed.other, step.listed.token
    assert other is not None
    best = _best(step)
    found: dict[str, Any] = {
        "candidates": [tokens.number(candidate) for candidate in candidates],
        **_shortest(step.raw_logits),
        "best": best,
        "place": step.place,
        "rest": other.count,
        "restLogSums": step.rest_log_sums,
        "chosen": None if token is None else [c.id for c in candidates].index(token.id),
    }
    stages = step.listed.stages
    if stages:
        found["used"] = [
            {"kept": stage.kept, "mass": stage.mass, "other": share}
            for stage, share in zip(stages, other.after, strict=True)
        ]
    return found


def _penalised(step: StepLogits) -> dict[str, Any]:
    """Which of the logits the penalty changes, and what the raw probabilities are made of."""
    both = zip(step.raw_logits, step.listed.candidates, strict=True)
    changed = [i for i, (logit, candidate) in enumerate(both) if logit != candidate.logit]
    return {"changed": changed, "otherRawProb": step.other_raw_prob, "logSum": step.log_sum}


def _shortest(logits: Sequence[float]) -> dict[str, Any]:
    """A model's logits are in single precision: nine digits tell which, and the page rounds them to that very number.
    Others need all seventeen.
    """
    if all(map(_is_single, logits)):
        return {"logits": [float(f"{logit:.9g}") for logit in logits], "single": True}
    return {"logits": logits, "single": False}


def _is_single(value: float) -> bool:
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False


def _best(step: StepLogits) -> int:
    """How many of the candidates are the best: all, or all but the chosen token behind them."""
    count = len(step.listed.candidates)
    return count if step.place == count - 1 else count - 1


def _sliders(steps: Sequence[Step], config: SampleConfig | None) -> list[dict[str, Any]]:
    """In the order of the stages: name, the values that the slider takes, and the one where it stands at first."""
    order = [*dict.fromkeys([*(config.stages if config else ()), *STAGES])]
    logits = [step for step in steps if isinstance(step, StepLogits)]
    temperatures = logits[0].temperatures if logits else (1.0,)
    listed = min((_best(step) for step in logits), default=0)
    values: dict[str, Sequence[float]] = {
        "temperature": temperatures,
        "top-k": range(listed + 1),
        "top-p": _TOP_PS,
        "min-p": _MIN_PS,
    }
    sliders = []
    for name in order:
        if name in values:
            used = _used(name, config)
            known = {"name": name, "neutral": _NEUTRAL[name], "used": used}
            sliders.append({**known, "values": sorted({*values[name], used})})
    return sliders


def _used(name: str, config: SampleConfig | None) -> float:
    if config is None or name not in config.stages:
        return _NEUTRAL[name]
    return float(getattr(config, name.replace("-", "_")))


def _scales() -> list[dict[str, Any]]:
    """Those of --heat; the first one says bits too."""
    surprisal, entropy, rank = SCALES["probability"], SCALES["entropy"], SCALES["rank"]
    first, *others = surprisal.limits
    bits = [f"below {first:g} bit", *(f"below {limit:g}" for limit in others), f"{others[-1]:g} or more"]
    labels = [f"{some}: {share}" for some, share in zip(bits, surprisal.labels, strict=True)]
    return [
        {"key": "surprisal", "name": "surprisal of the token", "limits": surprisal.limits, "labels": labels},
        {"key": "entropy", "name": entropy.name, "limits": entropy.limits, "labels": entropy.labels},
        {"key": "rank", "name": rank.name, "limits": rank.limits, "labels": rank.labels},
    ]
