"""What a notebook shows: whole tables without script, in which tokens stay letters."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import minigpt
from minigpt.render.notebook import show
from minigpt.sampling.records import BareToken, StepRecord
from minigpt.text.records import Token
from minigpt.views.against import ComparedNext, ComparedToken
from minigpt.views.attention import AttentionGrid, HeadSummary
from minigpt.views.choices import Choice
from minigpt.views.history import HistoryRow, LayerHistoryRow, LensRow

BAD = "<script>alert(1)</script>\"'\x00\u202e"


class Tags(HTMLParser):
    """The elements of a piece of HTML, its text, and the titles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.titles: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.titles += [value or "" for name, value in attributes if name == "title"]
        assert {name for name, _ in attributes} <= {"style", "title", "colspan"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile(record: StepRecord) -> StepRecord:
    first = replace(record.candidates[0], text=BAD, bytes=BAD.encode().hex())
    return replace(record, token=first, candidates=(first, *record.candidates[1:]))


def test_a_record_shows_itself(step: StepRecord) -> None:
    tags = Tags(step._repr_html_())
    assert tags.open == []
    assert set(tags.tags) == {"pre", "span"}
    assert tags.text.strip("\n") == repr(show(step))
    assert "▸   2" in tags.text
    assert "<E2 80>" in tags.text
    assert "cut" in tags.text
    assert "other (4,089 tokens)" in tags.text
    assert "temp. 0.8  top-k 6" in tags.text
    assert "surprisal 3.01 bits" in tags.text


def test_an_open_question_has_probabilities_alone(lecture: StepRecord) -> None:
    tags = Tags(lecture._repr_html_())
    assert "probability" in tags.text
    assert "drawn from" not in tags.text
    assert "▸" not in tags.text
    assert "8.82 %" in tags.text


def test_several_are_a_text_in_colours(step: StepRecord) -> None:
    bare = BareToken(id=7, text="The\n", bytes=b"The\n".hex())
    first = replace(step, token=bare, candidates=(), other=None, surprisal_bits=None, entropy_bits=None, stages=())
    shown = show([first, step, replace(step, surprisal_bits=12.0)])._repr_html_()
    tags = Tags(shown)
    assert "The\n floor floor" in tags.text
    assert re.findall(r"110, 30, ([\d.]+)", shown) == ["0.0", "0.35", "0.85"]
    assert tags.titles[0] == "The⏎: no context, not predicted"
    assert tags.titles[1].startswith(
        "␣floor: surprisal 3.01 bits · entropy 6.20 bits · rank 2 · most likely: ␣mat 21.4 %"
    )


def test_hostile_tokens_are_letters(step: StepRecord) -> None:
    for html in (hostile(step)._repr_html_(), show([hostile(step)] * 2)._repr_html_()):
        tags = Tags(html)
        assert "script" not in tags.tags
        assert "<script>alert(1)</script" in tags.text
        assert not set("\x00\u202e") & set(html)


def test_without_a_notebook_it_is_the_terminals_table(lecture: StepRecord) -> None:
    assert "␣probably" in repr(show(lecture))
    assert repr(show([lecture, lecture])).count("␣probably") == 2
    assert show(lecture)._repr_html_() == lecture._repr_html_()


def test_show_is_a_public_name() -> None:
    assert minigpt.show is show


@pytest.mark.parametrize("count", [0, 1])
def test_few_records(count: int, lecture: StepRecord) -> None:
    assert Tags(show([lecture] * count)._repr_html_()).open == []


def test_what_every_view_shows_a_notebook_can_show(lecture: StepRecord) -> None:
    bad, good = lecture.candidates[0], lecture.candidates[1]
    bad = replace(bad, text=BAD, bytes=BAD.encode().hex())
    numbers = {"candidates": (bad,), "other": lecture.other, "entropy_bits": 1.0, "divergence_bits": 0.5}
    rows = [LensRow(layer=n, tracked=(bad, good), **numbers) for n in range(3)]
    weights, scores = ((1.0,), (0.25, 0.75)), ((0.0,), (1.0, 2.0))
    grid = AttentionGrid(layer=1, head=2, tokens=(bad, good), weights=weights, scores=scores)
    assert grid._repr_html_() == show(grid)._repr_html_()
    heads = [
        HeadSummary(layer=1, head=1, entropy_bits=1.0, previous=0.5, first=0.25, same=None, itself=0.25, kind=None)
    ]
    for records, said in ((rows, "top token"), (grid, "layer 1, head 2"), (heads, "entropy"), ([grid, grid], "head 2")):
        shown = show(records, "To be")
        tags = Tags(shown._repr_html_())
        assert tags.open == []
        assert set(tags.tags) <= {"pre", "span"}
        assert said in tags.text
        assert tags.text.strip("\n").split("\n")[0] == repr(shown).split("\n")[0]
        assert not set("\x00\u202e") & set(shown._repr_html_())


def test_what_has_no_table_is_said() -> None:
    with pytest.raises(TypeError, match="no table for a Token"):
        repr(show([Token(id=1, text="a", bytes="61")]))


def test_without_a_text_before_no_caption_names_one(lecture: StepRecord) -> None:
    candidates = {"candidates": lecture.candidates[:1], "other": lecture.other, "tracked": lecture.candidates[:1]}
    row = LensRow(layer=0, entropy_bits=1.0, divergence_bits=0.5, **candidates)
    step = HistoryRow(
        step=1, final=True, validation_loss_nats=None, validation_bits_per_byte=None, entropy_bits=1.0,
        divergence_bits=0.0, tracked=lecture.candidates[:1],
    )  # fmt: skip
    layers = LayerHistoryRow(step=1, final=True, layers=lecture.candidates[:2])
    choice = Choice(
        text=" a", tokens=(), bytes=2, raw_prob=0.5, total_nats=0.7, nats_per_byte=0.35, bits_per_byte=0.5, share=1.0,
        share_per_byte=1.0,
    )  # fmt: skip
    token = ComparedToken(id=1, text="a", bytes="61", raw_prob=0.5, other_raw_prob=0.4, rank=1, other_rank=1)
    both = ComparedNext(
        tokens=(token,), moved=(token,), rest=5, rest_raw_prob=1.0, rest_other_raw_prob=1.0, entropy_bits=1.0,
        other_entropy_bits=1.0, divergence_bits=0.0, other_divergence_bits=0.0,
    )  # fmt: skip
    for record in (row, step, layers, choice, both):
        told, bare = (" ".join(repr(show([record], after)).split()) for after in ("To be", ""))
        assert "after “To be”" in told
        assert "after" not in bare
        assert "“" not in bare


# The rules of JupyterLab 4.6 that reach a <pre> in an output, from @jupyterlab/rendermime's base.css.
JUPYTERLAB = {
    "pre": {"font-family": "var(--jp-code-font-family)", "font-size": "inherit", "white-space": "pre-wrap",
            "line-height": "var(--jp-code-line-height)"},
}  # fmt: skip


def styles(html: str, tag: str) -> list[dict[str, str]]:
    """The inline styles of every `tag`."""
    found = [re.search(r'style="([^"]*)"', opening) for opening in re.findall(rf"<{tag}\b[^>]*>", html)]
    return [dict(part.split(": ", 1) for part in (match[1] if match else "").split("; ") if part) for match in found]


def test_a_notebooks_own_rules_are_answered_inline(step: StepRecord, lecture: StepRecord) -> None:
    grid = AttentionGrid(layer=1, head=None, tokens=lecture.candidates[:1], weights=((1.0,),), scores=((0.0,),))
    (pre,) = styles(grid._repr_html_(), "pre")
    assert JUPYTERLAB["pre"].keys() <= pre.keys()
    assert pre["white-space"] == "pre"
    assert pre["font-family"].endswith("monospace")
    assert styles(show([step, step])._repr_html_(), "p")[0]["font-family"].endswith("monospace")
