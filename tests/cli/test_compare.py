"""`minigpt compare`: from a text to table, plot, JSON and page; what is stopped goes on."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def compare(small_contest: None, minigpt: Run, notes: str) -> Run:
    def run(*arguments: str, **options: Any) -> Any:
        return minigpt("compare", notes, "--quick", "--minutes", "0.1", *arguments, **options)

    return run


def test_a_table_and_a_plot_come_out_and_every_model_is_kept(compare: Run, minigpt: Run) -> None:
    result = compare("--html", "page.html", "--plot", "plot.svg")
    assert result.exit_code == 0, result.stderr
    assert "dense window" in result.stdout.splitlines()[0]
    assert "keys recalled" in result.stdout
    assert "28 of 28  GPT: learning to recall a key" in result.stderr
    assert "<svg" in Path("page.html").read_text("utf-8")
    assert b"keys recalled" in Path("plot.svg").read_bytes()
    for model in ("window", "rnn", "lstm", "gpt"):
        sampled = minigpt("sample", "the", "-c", f"checkpoints/compare-notes/{model}-time", "--max-tokens", "3", "-q")
        assert sampled.exit_code == 0, sampled.stderr
    curves = minigpt("plot", "checkpoints/compare-notes/gpt-tokens", "checkpoints/compare-notes/lstm-tokens")
    assert curves.exit_code == 0, curves.stderr


def test_json_is_the_whole_record_and_a_finished_one_is_shown_again(compare: Run, minigpt: Run) -> None:
    first = json.loads(compare("--json", "--quiet").stdout)
    assert [contender["model"] for contender in first["contenders"]] == ["window", "rnn", "lstm", "gpt"]
    assert first["quick"] is True
    again = minigpt("compare", "--resume", "latest", "--json")
    assert json.loads(again.stdout) == first
    assert "28 of 28" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--minutes", "0"), "--minutes must be above 0, not 0.0."),
        (("--minutes", "nan"), "--minutes must be above 0, not nan."),
        (("--plot", "plot.pdf"), "--plot plot.pdf must end in .svg or .png."),
        (("--plot", "no/plot.svg"), "--plot no/plot.svg: there is no folder no."),
        (("--html", "page.txt"), "--html page.txt must end in .html"),
        (("--seed", "-1"), "--seed must lie between 0"),
        (("--resume", "latest", "--quick"), "--resume keeps what the comparison began with"),
        (("--resume", "latest", "--seed", "3"), "--resume keeps what the comparison began with"),
        (("--resume", "latest"), "There is no comparison in ./checkpoints yet."),
        (("--resume", "nowhere"), "nowhere contains no comparison"),
        (("nowhere.txt",), "nowhere.txt"),
    ],
)
def test_mistakes_are_told_in_one_line(minigpt: Run, arguments: tuple[str, ...], message: str) -> None:
    result = minigpt("compare", *arguments)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_too_few_minutes_are_told(compare: Run) -> None:
    result = compare("--minutes", "0.01")
    assert result.exit_code == 2
    assert "--minutes 0.01 are too few here for a comparison" in " ".join(result.stderr.split())


def test_more_minutes_can_be_given_until_they_are_shared_out(compare: Run, minigpt: Run) -> None:
    assert compare("--minutes", "0.01").exit_code == 2
    more = minigpt("compare", "--resume", "latest", "--minutes", "0.02")
    assert "--minutes 0.02 are too few here" in " ".join(more.stderr.split())
    assert compare("--quiet", "--out", "whole").exit_code == 0
    late = minigpt("compare", "--resume", "whole", "--minutes", "9")
    assert late.exit_code == 2
    assert "--resume keeps the --minutes" in late.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_and_says_how_to_go_on(start: Run, notes: str, number: signal.Signals) -> None:
    process = start("compare", notes, "--quick", "--minutes", "60")
    for line in process.stderr:
        if b"1 of 28" in line:
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert b"Continue with: minigpt compare --resume checkpoints/compare-notes" in err
    assert out == b""
    assert Path("checkpoints/compare-notes/comparison.json").exists()


def test_another_machine_cannot_go_on(compare: Run, minigpt: Run) -> None:
    assert compare("--quiet").exit_code == 0
    path = Path("checkpoints/compare-notes/comparison.json")
    record = json.loads(path.read_text("utf-8"))
    record["machine"] = "4 CPU cores"
    path.write_text(json.dumps(record))
    assert minigpt("compare", "--resume", "latest").exit_code == 0  # all of it is measured
    record["contenders"][0]["recall_by_distance"] = None
    path.write_text(json.dumps(record))
    result = minigpt("compare", "--resume", "latest")
    assert result.exit_code == 2
    assert "was begun on 4 CPU cores, and this is 1 CPU core" in " ".join(result.stderr.split())


def test_the_parts_of_a_gpt_side_by_side(compare: Run, minigpt: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigpt.contest.ablation.training_rates", lambda *arguments: ((16.0, 10_000.0),))
    result = compare("--ablate", "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    assert "no positions" in " ".join(result.stdout.split())
    assert "5 of 5  no MLP: training, with as many tokens as the others" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    again = json.loads(minigpt("compare", "--resume", "latest", "--json").stdout)
    assert again["ablation"] is True
    assert again["contenders"][0]["model"] == "gpt"


@pytest.fixture
def pairs(minigpt: Run, small_contest: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`compare --pairs` on a small table, with models to match."""
    from minigpt.contest import translation
    from minigpt.text.translations import translations
    from minigpt.training import plan

    monkeypatch.setattr(plan, "_USUAL", (1, 32))
    monkeypatch.setattr(plan, "_SHORTEST", 16)
    monkeypatch.setattr(translation, "pair_rates", lambda *arguments: ((8.0, 20_000.0), (64.0, 10_000.0)))
    monkeypatch.setattr(translation, "pair_step_costs", lambda *arguments: ((1.0, 0.5), (64.0, 0.75)))
    rows = [f"{each.source}\t{each.target}\n" for each in translations(300)]
    Path("pairs.tsv").write_text("".join(rows), "utf-8")

    def run(*arguments: str) -> Any:
        return minigpt("compare", "pairs.tsv", "--pairs", "--quick", "--minutes", "0.1", *arguments)

    return run


def test_models_of_pairs_side_by_side(pairs: Run, minigpt: Run) -> None:
    result = pairs("--html", "page.html", "--plot", "plot.svg")
    assert result.exit_code == 0, result.stderr
    assert "with attention" in result.stdout.splitlines()[0]
    assert "12 of 12  Transformer: translating, and where it looks" in result.stderr
    assert "minigpt sample -c checkpoints/compare-pairs/seq2seq-time" in result.stdout
    assert "One vector forgets long sources" in Path("page.html").read_text("utf-8")
    assert b"exact translations" in Path("plot.svg").read_bytes()
    sampled = minigpt("sample", "the cat", "-c", "checkpoints/compare-pairs/transformer-time", "-q")
    assert sampled.exit_code == 0, sampled.stderr
    shown = json.loads(minigpt("compare", "--resume", "latest", "--json").stdout)
    assert shown["pairs"] is True
    assert [contender["model"] for contender in shown["contenders"]] == ["seq2seq", "seq2seq-attention", "transformer"]
    assert set(shown["contenders"][1]["translations"]) == {
        "pairs",
        "exact_matches",
        "exact_by_length",
        "aligned_pairs",
        "alignment_layer",
        "alignment_error_rate",
        "alignment_error_by_length",
        "diagonal_error_rate",
        "least_error_rate",
    }
    assert shown["contenders"][0]["translations"]["alignment_error_rate"] is None


def test_parts_and_pairs_exclude_each_other(pairs: Run) -> None:
    result = pairs("--ablate")
    assert result.exit_code == 2
    assert "Give --ablate or --pairs, not both." in " ".join(result.stderr.split())
