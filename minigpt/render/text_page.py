"""The section of a page for a text: coloured by token, with each token's funnel behind it."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from minigpt.render.heat import SCALES
from minigpt.render.html import Section, running_text, text_before
from minigpt.render.style import token_label
from minigpt.sampling.records import Candidate, StepLogits, StepRecord
from minigpt.settings import FILTERS, SampleConfig
from minigpt.text.records import Token

Step = StepRecord | StepLogits  # the first token of a text has no logits


def text_section(
    title: str, steps: Iterable[Step], config: SampleConfig | None = None, *, given: int = 0, before: str = ""
) -> Section:
    """A text, token by token, each with its distribution and its funnel.

    `config`: the stages that tokens were drawn with, and the initial position of the sliders. `given`: how many tokens
    of the text were not drawn. `before`: a text shown without distributions, before an open question.
    """
    steps = list(steps)
    tokens = _TokenTable()
    active = config.active if config else ()
    changes = [(spec, spec.shown(spec.number(getattr(config, spec.setting)))) for spec in active if spec.by_token]
    fixed = any(not spec.slider for spec in active if not spec.by_token)
    data = {
        "temperatures": next((step.temperatures for step in steps if isinstance(step, StepLogits)), ()),
        "sliders": [] if fixed else _sliders(steps, config),
        "changes": [f"the {spec.words} of {amount}" for spec, amount in changes],
        "fixed": [spec.name for spec in active if not spec.slider and not spec.by_token],
        "drawn": config is not None,
        "given": given,
        "before": text_before(before),
        "scales": scales(),
        "steps": [_step(step, tokens, changed=bool(changes), fixed=fixed) for step in steps],
        "tokens": tokens.rows,
    }
    return Section("text", title, data, ("funnel.js", "text.js"))


class _TokenTable:
    """Each token once: [id, label in a table, text in a text]; the last only if it differs."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._numbers: dict[int, int] = {}

    def number(self, token: Token) -> int:
        if token.id not in self._numbers:
            self._numbers[token.id] = len(self.rows)
            self.rows.append([token.id, *token_row(token)])
        return self._numbers[token.id]


def token_row(token: Token) -> list[str]:
    """The label of a token in a table, and what stands for it in a text, if that differs."""
    label, text = token_label(token), running_text(token)
    return [label] if label == text else [label, text]


def _step(step: Step, tokens: _TokenTable, *, changed: bool, fixed: bool) -> dict[str, Any]:
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
        **(_changed(step) if changed else {}),
        **({"drawn" if fixed else "used": _stages(step.listed, fixed)} if step.listed.stages else {}),
    }


def _logits(step: StepLogits, candidates: Sequence[Candidate], tokens: _TokenTable) -> dict[str, Any]:
    """The input of funnel.js: logits before penalties and biases."""
    other, token = step.listed.other, step.listed.token
    assert other is not None
    return {
        "candidates": [tokens.number(candidate) for candidate in candidates],
        **_shortest(step.raw_logits),
        "sigma": step.sigma,
        "best": _best(step),
        "place": step.place,
        "rest": other.count,
        "restLogSums": step.rest_log_sums,
        "restMeans": [None if mean is None else float(f"{mean:.9g}") for mean in step.rest_means],
        "chosen": None if token is None else [c.id for c in candidates].index(token.id),
    }


def _changed(step: StepLogits) -> dict[str, Any]:
    """The logits that penalties and biases change, by index, and the terms of the raw probabilities."""
    both = zip(step.raw_logits, step.listed.candidates, strict=True)
    changed = [(i, candidate.logit) for i, (logit, candidate) in enumerate(both) if logit != candidate.logit]
    return {"changed": changed, "otherRawProb": step.other_raw_prob, "logSum": step.log_sum}


def _stages(record: StepRecord, fixed: bool) -> list[dict[str, Any]]:
    """What each stage left when the step was drawn; if the page cannot recompute it, also of every candidate."""
    names = [stage.name for stage in record.stages]
    cut_at = [names.index(c.cut_by) if c.cut_by else len(names) for c in record.candidates]
    stages = []
    for n, (stage, other) in enumerate(zip(record.stages, record.other.after if record.other else (), strict=True)):
        is_cut = [n >= at for at in cut_at]
        found: dict[str, Any] = {"kept": stage.kept, "mass": stage.mass, "other": other}
        if is_cut != sorted(is_cut):  # not only the last ones were cut
            found["gone"] = [i for i, cut in enumerate(is_cut) if cut]
        if fixed:
            both = zip(record.candidates, is_cut, strict=True)
            shares = [None if cut else float(f"{c.after[n]:.12g}") for c, cut in both]
            found |= {"name": stage.name, "value": stage.value, "shares": shares}
        stages.append(found)
    return stages


def _shortest(logits: Sequence[float]) -> dict[str, Any]:
    """The shortest decimal that the page reads back as the same float32 (nine digits), or float64 (seventeen)."""
    if all(map(_is_single, logits)):
        return {"logits": [float(f"{logit:.9g}") for logit in logits], "single": True}
    return {"logits": logits, "single": False}


def _is_single(value: float) -> bool:
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False


def _best(step: StepLogits) -> int:
    """How many of the candidates are the best: all, or all but the chosen token after them."""
    count = len(step.listed.candidates)
    return count if step.place == count - 1 else count - 1


def _sliders(steps: Sequence[Step], config: SampleConfig | None) -> list[dict[str, Any]]:
    """Name, values and initial value of each slider, in the order of the stages."""
    order = dict.fromkeys([*(config.stages if config else ()), *FILTERS])
    logits = [step for step in steps if isinstance(step, StepLogits)]
    listed = min((_best(step) for step in logits), default=0)
    sliders = []
    for spec in (FILTERS[name] for name in order):
        if spec.slider:
            used = getattr(config, spec.setting) if config and spec.name in config.stages else spec.neutral
            values = {value for value in spec.slider if not spec.counts_tokens or value <= listed}
            sliders.append(
                {"name": spec.name, "neutral": spec.neutral, "used": used, "values": sorted({*values, used})}
            )
    return sliders


def scales() -> list[dict[str, Any]]:
    """The scales of --heat, for the scripts of a page; the first also shows bits."""
    surprisal, entropy, rank = SCALES["probability"], SCALES["entropy"], SCALES["rank"]
    first, *others = surprisal.limits
    bits = [f"below {first:g} bit", *(f"below {limit:g}" for limit in others), f"{others[-1]:g} or more"]
    labels = [f"{some}: {share}" for some, share in zip(bits, surprisal.labels, strict=True)]
    return [
        {"key": "surprisal", "name": "surprisal of the token", "limits": surprisal.limits, "labels": labels},
        {"key": "entropy", "name": entropy.name, "limits": entropy.limits, "labels": entropy.labels},
        {"key": "rank", "name": rank.name, "limits": rank.limits, "labels": rank.labels},
    ]
