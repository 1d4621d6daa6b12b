"""Planned runs: the reasons for the first, in three lines, and a table of the others."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import compact, duration, quantity
from minigpt.settings import TrainConfig
from minigpt.training.records import PlannedRun


def reasons(runs: Sequence[PlannedRun], seconds: float, screen: Screen) -> tuple[Text, Text, Text]:
    """Three lines on what was chosen, and how its neighbours compare: time and speed; text and tokenizer; model."""
    best = runs[0]
    other = next((run for run in runs if run.tokenizer != best.tokenizer), None)
    return (
        screen.caption(_time(best, seconds, screen)),
        screen.caption(
            f"{_cut(best)}, {best.bytes_per_token:.2f} bytes a token: {_seen(best)}",
            f"dropout {best.dropout:g}" if best.dropout else "",
            f"weight decay {best.weight_decay:g}" if best.weight_decay != TrainConfig.weight_decay else "",
            f"{_cut(other)} expected {_worse(other, best)}" if other else "",
        ),
        screen.caption(
            f"{quantity(best.layers, 'layer')} {screen.symbols.times} {best.width}, {quantity(best.heads, 'head')}, "
            f"context {best.context}, batch {best.batch_size}",
            *_neighbours(runs, best, screen),
        ),
    )


def _time(best: PlannedRun, seconds: float, screen: Screen) -> str:
    shape, whole = _shape(best, screen), duration(seconds)
    if best.share < 1:
        used = duration(max(1.0, best.share * seconds))
        return f"about {used} of training, not {whole}, with {shape}: longer training would overfit"
    rate, tokens = f"{best.tokens_per_second:,.0f}", compact(best.tokens)
    return f"{whole} from the start: {shape} trains at about {rate} tokens/s here, so {tokens} tokens fit"


def _cut(run: PlannedRun) -> str:
    names = {"bpe": f"bpe {run.vocab_size:,}", "given": f"given vocabulary {run.vocab_size:,}"}
    return names.get(run.tokenizer, "characters")


def _shape(run: PlannedRun, screen: Screen) -> str:
    return f"{run.layers} {screen.symbols.times} {run.width}"


def _seen(run: PlannedRun) -> str:
    return f"the text is seen {run.epochs:.1f} times" if run.epochs >= 0.95 else f"{run.epochs:.0%} of the text is seen"


def _worse(run: PlannedRun, best: PlannedRun) -> str:
    return f"{_expected(run) / _expected(best) - 1:.1%} worse"


def _expected(run: PlannedRun) -> float:
    assert run.expected_bits_per_byte is not None, "one of several runs, which a law compares"
    return run.expected_bits_per_byte


def _neighbours(runs: Sequence[PlannedRun], best: PlannedRun, screen: Screen) -> Iterator[str]:
    """The best run of the next smaller and of the next larger model."""
    smaller = [run for run in runs if run.width < best.width]
    larger = [run for run in runs if run.width > best.width]
    if smaller:
        run = max(smaller, key=lambda run: (run.width, -_expected(run)))
        yield f"{_shape(run, screen)} is expected {_worse(run, best)}"
    if larger:
        run = min(larger, key=lambda run: (run.width, _expected(run)))
        yield f"{_shape(run, screen)} {_worse(run, best)}"


def best_of_each(runs: Sequence[PlannedRun], most: int = 10) -> list[PlannedRun]:
    """The best run of each shape and tokenizer, at most `most`, the chosen one first."""
    shown: dict[tuple[object, ...], PlannedRun] = {}
    for run in runs:
        shown.setdefault((run.layers, run.width, run.tokenizer, run.vocab_size), run)
    return list(shown.values())[:most]


def plan_table(runs: Sequence[PlannedRun], screen: Screen) -> Table:
    """The best runs, one for each shape and tokenizer; a narrow terminal omits steps, dropout and decay."""
    wide = screen.width >= 60
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column(" model")
    table.add_column("tokens")
    for name in ("dropout", "decay", "steps", "epochs", "expected") if wide else ("epochs", "expected"):
        table.add_column(name, justify="right")
    for run in best_of_each(runs):
        expected = "best" if run is runs[0] else f"+{_worse(run, runs[0]).removesuffix(' worse')}"
        size = (f"{run.dropout:g}", f"{run.weight_decay:g}", f"{run.steps:,}") if wide else ()
        table.add_row(f" {_shape(run, screen)}", _cut(run), *size, f"{run.epochs:.1f}", expected)
    return table
