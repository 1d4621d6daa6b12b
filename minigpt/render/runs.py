"""Tables of runs: those in a folder, the newest first; and those that were planned, with the reasons for the best."""

from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from minigpt.checkpoint.records import RunSummary
from minigpt.render.cells import cell_len
from minigpt.render.style import Screen, Symbols, byte_count, compact, duration, or_dash, quantity, safe_text, visible
from minigpt.render.table import Column, Table
from minigpt.settings import TrainConfig
from minigpt.training.records import PlannedRun


def runs_table(runs: Sequence[RunSummary], folder: str, screen: Screen) -> Iterator[Text]:
    """A heading, a line for each run, and the problem of a damaged one. `runs`: one or more."""
    table = Table(_run_columns(runs, screen.symbols), screen, runs)
    yield table.heading()
    for run in runs:
        yield table.line(run, "dim" if run.problem else "")
        if run.problem:
            problem = Screen(screen.width - 2, screen.symbols).caption(f"{safe_text(run.problem)}.")
            yield Text("\n").join(Text("  ").append_text(line) for line in problem.split("\n"))
    yield screen.caption(
        f"{quantity(len(runs), 'model')} in {safe_text(folder)}, {byte_count(sum(run.bytes for run in runs))}",
        "bits per byte of the model that is kept, on its own validation text",
    )


def _run_columns(runs: Sequence[RunSummary], symbols: Symbols) -> Sequence[Column[RunSummary]]:
    """Of a longer name at least 20 cells are shown, of a longer text 11."""

    def name(run: RunSummary) -> str:
        return visible(run.name, symbols)

    def text(run: RunSummary) -> str:
        return or_dash(run.text, lambda text: _last_part(text, symbols))

    return (
        Column("name", 0, name, left=True, least=1 + _widest(runs, name, 20), most=29, gap=1),
        Column("model", 0, lambda run: _kind_and_shape(run, symbols), drop=2),
        Column("weights", 0, lambda run: or_dash(run.parameters, compact), drop=3),
        Column("text", 0, text, left=True, drop=4, least=2 + _widest(runs, text, 11), most=26),
        Column("steps", 0, lambda run: or_dash(run.steps, "{:,}".format), drop=6),
        Column("bits/byte", 0, lambda run: or_dash(run.validation_bits_per_byte, "{:.3f}".format)),
        Column("on disk", 0, lambda run: byte_count(run.bytes), drop=1),
        Column("age", 0, lambda run: age(run.age_seconds)),
        Column("status", 0, lambda run: visible(run.status, symbols), left=True, drop=5),
    )


def _widest(runs: Sequence[RunSummary], text: Callable[[RunSummary], str], most: int) -> int:
    return min(most, max(cell_len(text(run)) for run in runs))


def _kind_and_shape(run: RunSummary, symbols: Symbols) -> str:
    if run.layers is None or run.width is None:
        return "-"
    kind = "" if run.model in (None, "gpt") else f"{visible(run.model or '', symbols)} "
    return f"{kind}{run.layers} {symbols.times} {run.width}"


def _last_part(text: str, symbols: Symbols) -> str:
    """The last part of a path, which is enough to recognise a file."""
    return visible(text.rstrip("/").rsplit("/", 1)[-1], symbols).replace(symbols.space, " ")


def age(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`, `5 weeks`, `14 months`, `3 years`: as precise as people remember."""
    if seconds < 60:
        return f"{max(0, seconds):.0f} s"
    for least, size, unit in ((48, 3600, "h"), (14, 86400, "days"), (9, 604800, "weeks"), (24, 2629800, "months")):
        if seconds < 3600:
            return f"{seconds / 60:.0f} min"
        if seconds < least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 31557600:.0f} years"


# --- planned runs

_WITH_UNIT = 60  # columns, for a table of them
_ERROR = 0.2  # of what is expected: half of the texts that had no part in the law ended within it (docs/log.md)


def reasons(runs: Sequence[PlannedRun], seconds: float, screen: Screen, part: float = 1.0) -> tuple[Text, Text, Text]:
    """Three lines on what was chosen, and how its neighbours compare: time and speed; text and tokenizer; model.

    `part`: the share of the text that is used.
    """
    best, text = runs[0], "the text" if part == 1 else "this part of the text"
    other = next((run for run in runs if run.tokenizer != best.tokenizer), None)
    return (
        screen.caption(_time(best, seconds, screen), _known(best)),
        screen.caption(
            f"{_cut(best)}, {best.bytes_per_token:.2f} bytes a token: {_seen(best, text)}{_regularized(best)}",
            f"{_cut(other)} expected {_worse(other, best)}" if other else "",
        ),
        screen.caption(
            f"{quantity(best.layers, 'layer')} {screen.symbols.times} {best.width}, {quantity(best.heads, 'head')}, "
            f"context {_windows(best)}, batch {best.batch_size}",
            *_neighbours(runs, best, screen),
        ),
    )


def _time(best: PlannedRun, seconds: float, screen: Screen) -> str:
    shape, whole = _shape(best, screen), duration(max(1.0, seconds))
    if best.share < 1:
        used = duration(max(1.0, best.share * seconds))
        return f"about {used} of training, not {whole}, with {shape}: longer training would overfit"
    rate, tokens = compact(best.tokens_per_second), compact(best.tokens)
    return f"{whole} from the start: {shape} trains at about {rate} tokens/s here, so {tokens} tokens fit"


def _known(best: PlannedRun) -> str:
    expected = best.expected_bits_per_byte
    return "" if expected is None else f"about {expected:.2f} bits per byte expected, give or take {_ERROR:.0%}"


def _cut(run: PlannedRun) -> str:
    names = {"bpe": f"bpe {run.vocab_size:,}", "given": f"given vocabulary {run.vocab_size:,}"}
    return names.get(run.tokenizer, "characters")


def _shape(run: PlannedRun, screen: Screen) -> str:
    return f"{run.layers} {screen.symbols.times} {run.width}"


def _seen(run: PlannedRun, text: str) -> str:
    return f"{text} is seen {run.epochs:.1f} times" if run.epochs >= 0.95 else f"{run.epochs:.0%} of {text} is seen"


def _regularized(best: PlannedRun) -> str:
    """The weight decay and the kinds of dropout that keep a text from being memorised, if there is more than usual."""
    decay = f"weight decay {best.weight_decay:g}" if best.weight_decay > TrainConfig.weight_decay else ""
    dropout = f"dropout {best.dropout:g}" if best.dropout else ""
    of_merges = f"BPE-dropout {best.bpe_dropout:g}" if best.bpe_dropout else ""
    used = [each for each in (decay, dropout, of_merges) if each]
    if not used:
        return ""
    *others, last = used
    together = f"{', '.join(others)} and {last}" if others else last
    if best.epochs < 1.05:  # not seen repeatedly
        return f", with {together}"
    return f", so {together} {'keep' if others else 'keeps'} it from being memorised"


def _windows(run: PlannedRun) -> str:
    """The context, after the shorter windows with which the training begins."""
    *shorter, context = run.windows
    return f"{', '.join(map(str, shorter))}, then {context}" if shorter else str(context)


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
        yield f"{_shape(run, screen)} {'' if smaller else 'is expected '}{_worse(run, best)}"


def best_of_each(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The best run of each shape and tokenizer, at most ten, the chosen one first."""
    shown: dict[tuple[object, ...], PlannedRun] = {}
    for run in runs:
        shown.setdefault((run.layers, run.width, run.tokenizer, run.vocab_size), run)
    return list(shown.values())[:10]


def plan_table(runs: Sequence[PlannedRun], screen: Screen) -> Iterator[Text]:
    """The best runs, one for each shape and tokenizer; a narrow terminal omits steps, dropout, decay and the unit."""
    unit = " bits/byte" if screen.width >= _WITH_UNIT else ""

    def expected(run: PlannedRun) -> str:
        if run is runs[0]:
            return f"{_expected(run):.2f}{unit}"
        return f"+{_worse(run, runs[0]).removesuffix(' worse')}"

    rows = best_of_each(runs)
    columns = [
        Column[PlannedRun]("model", 0, lambda run: _shape(run, screen), left=True, gap=1),
        Column("tokens", 0, _cut, left=True),
        Column("dropout", 0, lambda run: f"{run.dropout:g}", drop=1),
        Column("decay", 0, lambda run: f"{run.weight_decay:g}", drop=1),
        Column("steps", 0, lambda run: f"{run.steps:,}", drop=1),
        Column("epochs", 0, lambda run: f"{run.epochs:.1f}"),
        Column("expected", 0, expected),
    ]
    return Table(columns, screen, rows).lines(rows)
