"""A comparison as a page: its table, and its panels drawn as lines, each with the claim that it is about."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minigpt.contest.records import Comparison, Contender, Points
from minigpt.render.compare import comparison_caption, comparison_listing, small_share, source_lengths, y_at
from minigpt.render.html import Section, page
from minigpt.render.panels import NAMES, Panel, line_names, octaves, panels, relative, x_label
from minigpt.render.style import WIDEST, Screen, compact
from minigpt.render.table import Part
from minigpt.render.table_page import tables_section

_WIDTH, _HEIGHT = 360, 200  # of the frame, in the units of the drawing
_X_TICKS = 7
_APART = 24  # of the marked points of a line, at least: more would hide it
# The shapes around (0, 0) that mark the points of each line, so that lines are told apart without colours.
SHAPES = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M0 -4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 -4.5L4 3.5L-4 3.5z",
    "M-3.2 -3.2H3.2V3.2H-3.2z",
    "M0 4.5L4 -3.5L-4 -3.5z",
)


def comparison_page(comparison: Comparison, folder: Path) -> str:
    """The whole page."""
    last = "Transformer" if comparison.pairs else "GPT"
    title = f"minigpt: what came before, and a {last}, on {comparison.name}"
    return page(title, comparison_sections(comparison), caption=f"minigpt · {folder}")


def comparison_sections(comparison: Comparison) -> list[Section]:
    """The numbers, and the drawings, if there is something to draw."""
    screen = Screen(WIDEST)
    known = [panel for panel in panels(comparison) if panel.points]
    names = line_names(known)
    parts: list[Part] = [comparison_listing(comparison, screen), *comparison_caption(comparison, screen)]
    numbers = tables_section(f"Equal parameters, equal {'time' if comparison.pairs else 'text'}", parts)
    if not known:
        return [numbers]
    drawn = [{**_drawn(panel, names), **asdict(claim_of(panel.name, comparison))} for panel in known]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(names))]
    data = {"names": names, "shapes": shapes, "panels": drawn, "width": _WIDTH, "height": _HEIGHT}
    return [numbers, Section("panels", "What each claim looks like", data, ())]


def _drawn(panel: Panel, names: Sequence[str]) -> dict[str, Any]:
    """Everything that the template needs: points and ticks, in the units of the drawing."""
    (left, right), (low, high) = panel.sides(), panel.ends()

    def across(x: float) -> float:
        return round(_WIDTH * (panel.place(x) - left) / (right - left), 1)

    def down(height: float) -> float:
        return round(_HEIGHT * (high - height) / (high - low), 1)

    lines = []
    for name, points in panel.lines:
        placed = [(across(x), down(panel.height(y))) for x, y in panel.drawn(points)]
        lines.append({"name": name, "number": names.index(name), "points": placed, "marked": _apart(placed)})
    return {
        "title": panel.title,
        "x": panel.x,
        "lines": lines,
        "x_ticks": [(across(x), x_label(x)) for x in panel.x_ticks(_X_TICKS)],
        "y_ticks": [(down(height), label) for height, label in panel.marks()],
    }


def _apart(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points without those that are near the one before."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or math.dist(point, kept[-1]) >= _APART:
            kept.append(point)
    return kept


_RECALLED = 0.5  # of the keys
_BACK = 64  # tokens, where the gradients are compared

Numbers = Mapping[str, float]  # by the kind of model


@dataclass(frozen=True)
class Claim:
    """What is claimed, and what was measured; "" where nothing was. Both are whole sentences."""

    says: str
    measured: str = ""


def claim_of(panel: str, comparison: Comparison) -> Claim:
    """The claim that the panel of this name is about."""
    claims = _PAIRS if comparison.pairs else _PARTS if comparison.ablation else _CLAIMS
    return claims[panel](comparison)


def _speed(comparison: Comparison) -> Claim:
    context = _last(comparison, "training_tokens_per_second")
    speeds = _numbers(comparison, lambda contender: y_at(contender.training_tokens_per_second, context))
    return Claim(
        "The steps of a recurrent network cannot run in parallel, so it trains more slowly than a GPT.",
        _measured(f"Tokens a second at a context of {context:,.0f}", speeds, "{:,.0f}".format)
        + _verdict(speeds, ("rnn", "lstm", "gpt"), _gpt_exceeds_recurrent),
    )


def _tokens(comparison: Comparison) -> Claim:
    bits = _bits(comparison, "equal_tokens")
    return Claim(
        "After the same text, the model that looks back as far as it likes predicts best.",
        _measured("Best bits per byte", bits, "{:.3f}".format) + _verdict(bits, _FOUR, _gpt_is_lowest),
    )


def _time(comparison: Comparison) -> Claim:
    bits = _bits(comparison, "equal_time")
    seen = _numbers(comparison, lambda contender: getattr(contender.equal_time, "tokens", None))
    return Claim(
        "After the same time, the model that trains in parallel predicts best, because it has seen more text.",
        _measured("Tokens seen", seen, compact)
        + _measured(" Best bits per byte", bits, "{:.3f}".format)
        + _verdict(bits, _FOUR, _gpt_is_lowest),
    )


def _position(comparison: Comparison) -> Claim:
    window = next((contender.window for contender in comparison.contenders if contender.window), 1)
    measured, falls = _falls(comparison, window)
    return Claim(
        f"A dense network sees only its window, {window} tokens; the others predict better the more they have seen.",
        measured + _verdict(falls, _FOUR, lambda of: of["window"] == min(of.values()) < max(of.values())),
    )


def _falls(comparison: Comparison, seen: int) -> tuple[str, dict[str, float]]:
    """How much the loss falls from `seen` tokens to all: a sentence, and the numbers in nats."""
    falls: dict[str, float] = {}
    first = last = ""
    for contender in comparison.contenders:
        stretches = list(octaves(contender.loss_nats_by_position or ()))
        full = next((stretch for stretch in stretches if stretch[1] >= seen), None)
        if full is not None:
            first, last = _range(*full[:2]), _range(*stretches[-1][:2])
            fall = round(_mean(full[2]) - _mean(stretches[-1][2]), 3)  # as it is shown
            falls[contender.model] = fall + 0.0  # not -0.0
    what = f"From {first} to {last} tokens seen, the loss falls by these nats a token"
    return _measured(what, falls, "{:.3f}".format), falls


def _gradient(comparison: Comparison) -> Claim:
    back = min(_BACK, _last(comparison, "gradient_by_distance"))
    shares = _numbers(comparison, lambda contender: y_at(relative(contender.gradient_by_distance or ()), back))
    return Claim(
        "In a recurrent network the gradient fades with the distance; gates help, and attention helps more.",
        _measured(f"Gradient {back:g} tokens back, as a share of the nearest token's", shares, small_share)
        + _verdict(shares, ("rnn", "lstm", "gpt"), lambda of: of["rnn"] < of["lstm"] < of["gpt"]),
    )


def _recall(comparison: Comparison) -> Claim:
    def reach(contender: Contender) -> float | None:
        points = contender.recall_by_distance
        return None if points is None else max((x for x, y in points if y >= _RECALLED), default=0.0)

    reaches = _numbers(comparison, reach)
    return Claim(
        "Attention recalls a key from as far back as it looks; a state forgets it, with gates later than without.",
        _measured(
            "Most tokens over which half of the keys are recalled", reaches, lambda far: f"{far:g}" if far else "none"
        )
        + _verdict(reaches, _FOUR, lambda of: of["rnn"] <= of["lstm"] <= of["gpt"] > max(of["rnn"], of["window"])),
    )


def _cost(comparison: Comparison) -> Claim:
    last = _last(comparison, "step_milliseconds")
    growths = _numbers(comparison, lambda contender: _growth(contender.step_milliseconds))
    return Claim(
        "A recurrent network generates every token at the same cost; attention costs more the further it looks back.",
        _measured(f"Times as long for token {last:,.0f} as for the first", growths, "{:.2f}".format)
        + _verdict(growths, ("rnn", "lstm", "gpt"), _gpt_exceeds_recurrent),
    )


def _learned_by_part(comparison: Comparison) -> Claim:
    bits = _bits(comparison, "equal_tokens")
    return Claim(
        "A GPT needs each of its parts: without one, it learns less from the same text.",
        _measured("Bits per byte", bits, "{:.3f}".format) + _verdict(bits, _WITHOUT, _gpt_is_lowest),
    )


def _position_by_part(comparison: Comparison) -> Claim:
    measured, falls = _falls(comparison, 1)
    return Claim(
        "Without attention a GPT sees a single token, so that it does not predict better the more has been written.",
        measured + _verdict(falls, _WITHOUT, lambda of: of["no-attention"] == min(of.values()) < max(of.values())),
    )


def _exact(comparison: Comparison) -> Claim:
    lengths = source_lengths(comparison) or [(0, 0)]
    first, last, falls, shown = lengths[0], lengths[-1], dict[str, float](), []
    for contender in comparison.contenders:
        points = contender.translations.exact_by_length if contender.translations else None
        short, long = y_at(points, first[1]), y_at(points, last[1])
        if short is not None and long is not None:
            falls[contender.model] = round(short, 3) - round(long, 3)  # as it is shown
            shown.append(f"{NAMES[contender.model]} {short:.1%} and {long:.1%}")
    what = f"Exact translations of sources of {_range(*first)} and of {_range(*last)} tokens"
    return Claim(
        "One vector forgets long sources, because it must hold them whole; attention goes back to what it needs.",
        (f"{what}: {'; '.join(shown)}." if shown else "")
        + _verdict(falls, _THREE, lambda of: of["seq2seq"] > max(of["seq2seq-attention"], of["transformer"])),
    )


def _pairs_time(comparison: Comparison) -> Claim:
    bits = _bits(comparison, "equal_time")
    seen = _numbers(comparison, lambda contender: getattr(contender.equal_time, "tokens", None))
    return Claim(
        "After the same time, attention alone predicts best: it looks anywhere, and it trains in parallel.",
        _measured("Tokens seen", seen, compact)
        + _measured(" Bits per byte", bits, "{:.3f}".format)
        + _verdict(bits, _THREE, lambda of: of["transformer"] < min(of["seq2seq"], of["seq2seq-attention"])),
    )


def _pairs_speed(comparison: Comparison) -> Claim:
    side = _last(comparison, "training_tokens_per_second")
    speeds = _numbers(comparison, lambda contender: y_at(contender.training_tokens_per_second, side))
    gains = _numbers(comparison, lambda contender: _growth(contender.training_tokens_per_second))

    def agrees(of: Numbers) -> bool:
        recurrent = ("seq2seq", "seq2seq-attention")
        return all(speeds["transformer"] > speeds[model] and of["transformer"] > of[model] for model in recurrent)

    return Claim(
        "An LSTM takes a step for each token, so it trains slower than a Transformer, the more so on longer texts.",
        _measured(f"Tokens a second at {side:g} a side", speeds, "{:,.0f}".format)
        + _measured(" As a multiple of the speed on the shortest texts", gains, "{:.2f}".format)
        + _verdict(gains, _THREE, agrees),
    )


def _pairs_cost(comparison: Comparison) -> Claim:
    last = _last(comparison, "step_milliseconds")
    growths = _numbers(comparison, lambda contender: _growth(contender.step_milliseconds))
    return Claim(
        "With one vector every token is written at the same cost; attention costs more the longer both texts are.",
        _measured(f"Times as long for token {last:,.0f} as for the first", growths, "{:.2f}".format)
        + _verdict(growths, _THREE, lambda of: of["seq2seq"] < min(of["seq2seq-attention"], of["transformer"])),
    )


def _alignment(comparison: Comparison) -> Claim:
    rates = _numbers(comparison, lambda contender: getattr(contender.translations, "alignment_error_rate", None))
    known = next((c.translations for c in comparison.contenders if c.translations), None)
    diagonal, least = (known.diagonal_error_rate, known.least_error_rate) if known else (None, None)
    beside = (
        "" if diagonal is None or least is None else f" A diagonal errs at {diagonal:.1%}; {least:.1%} is the least."
    )
    return Claim(
        "Nobody tells attention which word comes from which; it finds that out by learning to translate.",
        _measured("Alignment error rate", rates, "{:.1%}".format)
        + (beside if rates else "")
        + ("" if diagonal is None else _verdict(rates, _THREE[1:], lambda of: max(of.values()) < diagonal)),
    )


_THREE = ("seq2seq", "seq2seq-attention", "transformer")
_FOUR = ("window", "rnn", "lstm", "gpt")
_WITHOUT = ("gpt", "no-positions", "one-head", "no-attention", "no-mlp")
_CLAIMS: dict[str, Callable[[Comparison], Claim]] = {
    "speed": _speed,
    "tokens": _tokens,
    "time": _time,
    "position": _position,
    "gradient": _gradient,
    "recall": _recall,
    "cost": _cost,
}
_PAIRS: dict[str, Callable[[Comparison], Claim]] = {
    "exact": _exact,
    "time": _pairs_time,
    "speed": _pairs_speed,
    "cost": _pairs_cost,
    "alignment": _alignment,
}
_PARTS = {"tokens": _learned_by_part, "position": _position_by_part}  # of an ablation


def _measured(what: str, numbers: Numbers, show: Callable[[float], str]) -> str:
    """`WHAT: dense window 2.5, RNN 2.4 and GPT 2.3.`"""
    *some, last = [f"{NAMES[model]} {show(number)}" for model, number in numbers.items()] or [""]
    return f"{what}: {', '.join(some)}{' and ' if some else ''}{last}." if last else ""


def _verdict(numbers: Numbers, needed: Sequence[str], agrees: Callable[[Numbers], bool]) -> str:
    """Whether the numbers agree with the claim; "" before all that it needs are measured."""
    if not numbers or not set(needed) <= numbers.keys():
        return ""
    return " This run agrees." if agrees(numbers) else " This run does not agree."


def _gpt_exceeds_recurrent(numbers: Numbers) -> bool:
    return numbers["gpt"] > max(numbers["rnn"], numbers["lstm"])


def _gpt_is_lowest(numbers: Numbers) -> bool:
    return all(numbers["gpt"] < number for model, number in numbers.items() if model != "gpt")


def _numbers(comparison: Comparison, number: Callable[[Contender], float | None]) -> dict[str, float]:
    found = ((contender.model, number(contender)) for contender in comparison.contenders)
    return {model: value for model, value in found if value is not None}


def _bits(comparison: Comparison, run: str) -> dict[str, float]:
    return _numbers(comparison, lambda contender: getattr(getattr(contender, run), "bits_per_byte", None))


def _last(comparison: Comparison, name: str) -> float:
    """The last x of a measurement."""
    return next((points[-1][0] for c in comparison.contenders if (points := getattr(c, name))), 0.0)


def _growth(points: Points | None) -> float | None:
    """The last y as a multiple of the first."""
    return points[-1][1] / points[0][1] if points and points[0][1] else None


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _mean(points: Points) -> float:
    return sum(y for _, y in points) / len(points)
