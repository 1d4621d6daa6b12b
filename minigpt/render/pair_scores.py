"""Tables about models of pairs: what a beam search found, how well one does on files, the labels that it confuses."""

from collections.abc import Iterator, Sequence
from functools import partial

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.scores import file_column, number
from minigpt.render.style import Screen, or_dash, percent, quantity, quoted, safe_text, visible
from minigpt.render.table import Column, Listing, Table
from minigpt.sampling.records import BeamTarget, LabelScore, PairScore

_MOST_LABEL = 24  # cells for a label


def pair_score_lines(rows: Sequence[PairScore], total: PairScore, screen: Screen) -> Iterator[Text]:
    """A heading and a line for each of `rows`, what was measured, and for labels the table of confusions."""
    yield from _table(rows, screen)
    yield _caption(total, screen)
    if total.labels is not None:
        yield Text()
        yield from _confusion(total.labels, screen)


def _table(rows: Sequence[PairScore], screen: Screen) -> Iterator[Text]:
    columns: list[Column[PairScore]] = [
        file_column([score.file for score in rows], screen),
        Column("pairs", 0, lambda score: f"{score.pairs:,}", drop=3),
        Column("tokens", 0, lambda score: f"{score.tokens:,}", drop=1),
        Column("nats/token", 0, lambda score: number(score.nats_per_token), drop=4),
        Column("bits/byte", 0, lambda score: number(score.bits_per_byte), drop=2),
        Column("exact", 10, lambda score: or_dash(score.exact, percent)),
    ]
    if any(score.chrf is not None for score in rows):
        columns += [
            Column("chrF", 7, lambda score: number(score.chrf, 1), drop=5),
            Column("BLEU", 7, lambda score: number(score.bleu, 1), drop=6),
        ]
    if any(score.accuracy is not None for score in rows):
        columns.append(Column("accuracy", 10, lambda score: or_dash(score.accuracy, percent)))
    return Table(columns, screen, rows).lines(rows, style=lambda score: "" if score.file else "bold")


def _caption(total: PairScore, screen: Screen) -> Text:
    scored = f"{quantity(total.tokens, 'token')} and {quantity(total.bytes, 'byte')} of the targets of "
    parts = [f"{scored}{quantity(total.pairs, 'pair')}", "each target's end-of-text is scored, and has no bytes"]
    parts.append("exact: the target as it stands, of greedy decoding")
    if total.chrf is not None:
        parts.append("chrF and BLEU: sacrebleu's, of the whole file, 0 to 100")
    if total.labels is not None:
        known = quantity(len(total.labels.labels), "label")
        parts.append(f"accuracy: the most probable of the {known} of training is the true one")
    return screen.caption(*parts)


def _confusion(score: LabelScore, screen: Screen) -> Iterator[Text]:
    """Rows are true labels, columns the model's answers."""
    names = [visible(label, screen.symbols) for label in score.labels]
    columns = [Column[int]("true", 0, lambda row: names[row], left=True, most=_MOST_LABEL, gap=1)]
    for at, name in enumerate(names):
        heading = name if cell_len(name) <= _MOST_LABEL else f"answer {at + 1}"
        columns.append(Column(heading, max(7, cell_len(heading) + 2), partial(_count, score, at)))
    rows = range(len(names))
    yield from Listing(columns=columns, rows=rows, screen=screen, caption="Confusion", repeats=True).lines()
    yield screen.caption("rows: the true label", "columns: the model's answer")


def _count(score: LabelScore, column: int, row: int) -> str:
    return f"{score.confusion[row][column]:,}"


def beam_table(targets: Sequence[BeamTarget], source: str, screen: Screen) -> Iterator[Text]:
    """A row for each target, the best first, and what the numbers are."""
    columns = [
        Column[BeamTarget]("rank", 5, lambda each: f"{each.rank}"),
        Column[BeamTarget]("target", 0, lambda each: safe_text(each.text), left=True, least=24, most=screen.width),
        Column[BeamTarget]("ln p", 10, lambda each: f"{each.log_prob_nats:,.3f}"),
        Column[BeamTarget]("per token", 11, lambda each: f"{each.log_prob_nats_per_token:,.4f}", drop=2),
        Column[BeamTarget]("tokens", 8, lambda each: f"{each.tokens:,}", drop=1),
    ]
    yield from Table(columns, screen, targets).lines(targets)
    cut = sum(each.stopped_by == "max-tokens" for each in targets)
    yield screen.caption(
        f"{quantity(len(targets), 'target')} of {quoted(source.strip(), screen.width // 2, screen.symbols)}",
        "ln p: the logarithm of a target's probability, its end included",
        "ordered by ln p per token",
        f"{quantity(cut, 'target')} cut at the most tokens" if cut else "",
    )
