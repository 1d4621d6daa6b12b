"""`minigpt sample`: the text alone in a pipe, every step as a table or as JSON, the same text for the same seed."""

import json
import math
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigpt.checkpoint.folder import load
from minigpt.cli.app import whole_command
from minigpt.models.decoder import CachedDecoder
from minigpt.sampling import engine
from minigpt.sampling.engine import TextStream
from minigpt.sampling.records import CacheReport

Run = Callable[..., Any]
STEP = {"sample", "position", "token", "candidates", "other", "entropy_bits", "surprisal_bits", "stages"}
CANDIDATE = {"id", "text", "bytes", "logit", "raw_prob", "after", "prob", "rank", "cut_by"}
END = {"text", "tokens", "seconds", "tokens_per_second", "bits_per_token", "stopped_by"}


@pytest.fixture
def sample(minigpt: Run, trained: Path) -> Run:
    return partial(minigpt, "sample", "-c", str(trained), "--seed", "3", "-n", "8")


def json_lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_into_a_pipe_goes_the_text_alone(sample: Run) -> None:
    result = sample("The cat")
    assert result.exit_code == 0
    assert result.stdout.startswith("The cat")
    assert result.stdout.endswith("\n")
    assert "\x1b" not in result.output
    summary = " ".join(result.stderr.split())
    assert "8 tokens" in summary
    assert "again: --seed 3" in summary


def test_the_same_seed_gives_the_same_text_and_another_another(sample: Run) -> None:
    assert sample("a", "-n", "30").stdout == sample("a", "-n", "30").stdout
    assert sample("a", "-n", "30").stdout != sample("a", "-n", "30", "--seed", "4").stdout


def test_every_way_of_showing_shows_the_same_text(sample: Run) -> None:
    text = sample("The cat").stdout
    assert sample("The cat", "--table", "every").stdout.endswith("\n" + text)
    assert json_lines(sample("The cat", "--json"))[-1]["text"] == sample("The cat", "--raw").stdout_bytes.decode(
        "utf-8", "replace"
    )


def test_each_text_is_shown_at_the_pace(sample: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second text is drawn along with the first, and is paced all the same."""
    order: list[object] = []
    monkeypatch.setattr(engine, "_WAIT", math.inf)
    monkeypatch.setattr(time, "sleep", order.append)
    monkeypatch.setattr(TextStream, "feed", lambda self, data: order.append("drawn") or data)
    result = sample("a", "-n", "3", "--num-samples", "2", "--pace", "4", "--table", "none")
    assert result.exit_code == 0, result.stderr
    assert order == ["drawn"] * 5 + [0.25] * 5 + ["drawn", 0.25]


def test_quiet_says_nothing_but_the_text(sample: Run) -> None:
    assert sample("a", "-q", "-n", "60").stderr == ""


def test_json_has_the_names_of_the_design_and_adds_up(sample: Run) -> None:
    *steps, end = json_lines(sample("The cat", "--json", "--top-k", "9", "--repetition-penalty", "1.2", "--top", "4"))
    assert set(end) >= END
    assert end["tokens"] == len(steps) == 8
    assert end["stopped_by"] == "max-tokens"
    for index, step in enumerate(steps):
        assert set(step) == STEP
        assert step["position"] == steps[0]["position"] + index
        assert len(step["candidates"]) in (4, 5)
        assert step["token"] in step["candidates"]
        assert all(set(c) == CANDIDATE for c in step["candidates"])
        assert [s["name"] for s in step["stages"]] == ["repetition-penalty", "temperature", "top-k", "top-p"]
        assert all(set(s) >= {"name", "kept", "mass"} for s in step["stages"])
        for share in ("raw_prob", "prob"):
            assert sum(c[share] for c in step["candidates"]) + step["other"][share] == pytest.approx(1, abs=1e-9)


def test_sample_and_inspect_show_the_same_numbers_for_the_same_prefix(sample: Run, minigpt: Run, trained: Path) -> None:
    steps = json_lines(sample("The cat", "--json", "--repetition-penalty", "1.3"))[:-1]
    prefix = "The cat"
    inspected = json.loads(minigpt("inspect-probs", prefix, "-c", str(trained), "--json").stdout)["steps"][0]
    assert inspected["position"] == steps[0]["position"]
    assert inspected["entropy_bits"] == pytest.approx(steps[0]["entropy_bits"], abs=1e-6)
    assert inspected["other"]["count"] - steps[0]["other"]["count"] in (0, 1)  # the drawn token may be added
    drawn = {c["id"]: c for c in steps[0]["candidates"]}
    for candidate in inspected["candidates"]:
        for name in ("rank", "text", "bytes"):
            assert drawn[candidate["id"]][name] == candidate[name]
        for name in ("raw_prob", "logit"):
            assert drawn[candidate["id"]][name] == pytest.approx(candidate[name], abs=1e-6)


def test_num_samples_are_numbered_and_differ(sample: Run) -> None:
    lines = json_lines(sample("a", "--json", "--num-samples", "3"))
    ends = [line for line in lines if "stopped_by" in line]
    assert [end["sample"] for end in ends] == [0, 1, 2]
    assert {line["sample"] for line in lines} == {0, 1, 2}
    assert len({end["text"] for end in ends}) == 3
    alone = json_lines(sample("a", "--json", "--seed", str(ends[1]["seed"])))[-1]
    assert alone["text"] == ends[1]["text"]


def test_samples_in_a_pipe_are_apart_by_an_empty_line(sample: Run) -> None:
    texts = [sample("a", "--seed", str(seed)).stdout for seed in (3, 4)]
    assert sample("a", "--num-samples", "2").stdout == "\n".join(texts)


@pytest.mark.parametrize(("text", "meant"), [(r"\n", r"$'\n'"), (r"it's\t", r"$'it\'s\t'")])
def test_a_backslash_in_a_stop_text_is_pointed_out(sample: Run, text: str, meant: str) -> None:
    result = sample("The cat", "-n", "2", "--stop", text)
    assert f"has a backslash and a letter; in most shells {meant} is the character itself." in result.stderr
    assert "note:" not in sample("The cat", "-n", "2", "--stop", "\n").stderr


def test_stop_ends_before_the_text(sample: Run) -> None:
    whole = json_lines(sample("The cat", "--json", "-n", "30"))[-1]["text"].removeprefix("The cat")
    stop = whole[5:7]
    end = json_lines(sample("The cat", "--json", "-n", "30", "--stop", "never there", "--stop", stop))[-1]
    assert end["stopped_by"] == "stop"
    assert end["text"] == "The cat" + whole[: whole.index(stop)]


def test_table_every_prints_one_a_step(sample: Run) -> None:
    result = sample("a", "--table", "every", "--top", "3", "-n", "4")
    assert result.stdout.count(" rank  token") == 4
    assert result.stdout.count("other (") == 4
    assert " step 4 of 4 ·" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_table_live_without_a_terminal_is_a_note(sample: Run) -> None:
    result = sample("a", "--table", "live")
    assert "cannot redraw" in result.stderr
    assert result.stdout == sample("a").stdout


def test_raw_writes_the_very_bytes_and_nothing_else(sample: Run, trained: Path) -> None:
    steps = json_lines(sample("a\x1b[0m é", "--json", "-n", "60"))[:-1]
    result = sample("a\x1b[0m é", "--raw", "-n", "60")
    tokens = b"".join(bytes.fromhex(step["token"]["bytes"]) for step in steps)
    assert result.stdout_bytes == "a\x1b[0m é".encode() + tokens


def test_without_raw_no_control_reaches_the_pipe(sample: Run) -> None:
    text = sample("a\x1b[31m\x00\u202e b", "-n", "60", "--temperature", "5", "--top-p", "1").stdout
    assert text.startswith("a<ESC>[31m<NUL><U+202E> b")
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in text)


def test_beyond_the_context_there_is_one_note(sample: Run, trained: Path) -> None:
    assert load(trained).model.config.context == 32
    for arguments in (["a", "-n", "70"], ["the cat sat on a mat " * 50], ["a", "-n", "70", "--num-samples", "2"]):
        result = sample(*arguments)
        assert result.exit_code == 0
        assert result.stderr.count("longer than the model's context") == 1
    assert "context" not in sample("a").stderr


@pytest.mark.parametrize("arguments", [["-"], []], ids=["dash", "nothing"])
@pytest.mark.parametrize(
    ("given", "prompt"),
    [("The cat\n", "The cat"), ("The cat\n\n", "The cat\n"), ("The cat", "The cat"), ("a\r\nb\r\n", "a\nb"), ("", "")],
)
def test_standard_input_loses_one_final_newline_unless_it_is_the_file(
    sample: Run, arguments: list[str], given: str, prompt: str
) -> None:
    assert json_lines(sample("--json", *arguments, input=given))[-1]["prompt"] == prompt
    as_file = json_lines(sample("--json", "--file", "-", input=given))[-1]["prompt"]
    assert as_file == given.replace("\r\n", "\n")


def test_a_file_keeps_its_newline_as_for_the_views(sample: Run, minigpt: Run) -> None:
    Path("poem.txt").write_bytes(b"\xef\xbb\xbfThe\r\ncat\n")
    assert json_lines(sample("--json", "--file", "poem.txt"))[-1]["prompt"] == "The\ncat\n"
    refused = sample("The", "--file", "poem.txt")
    assert refused.exit_code == 2
    assert "as an argument or with --file, not both" in refused.stderr
    assert sample("--file", "nowhere.txt").exit_code == 1


def test_what_takes_a_text_takes_a_file_of_it_too() -> None:
    for name in ("sample", "inspect-probs", "inspect-attention", "explore"):
        command = whole_command(name)
        flags = {option for parameter in command.params for option in parameter.opts}
        assert "--file" in flags, name


def test_an_argument_loses_nothing(sample: Run) -> None:
    assert json_lines(sample("--json", " The cat\n"))[-1]["prompt"] == " The cat\n"


def test_an_empty_prompt_starts_from_end_of_text(sample: Run, trained: Path) -> None:
    first, *_, end = json_lines(sample("--json", ""))
    assert first["position"] == 1
    assert end["prompt"] == ""
    assert end["tokens"] == 8


def test_temperature_0_takes_the_top_token(sample: Run) -> None:
    *steps, end = json_lines(sample("a", "--json", "--temperature", "0"))
    assert all(step["token"]["rank"] == 1 for step in steps)
    assert end["top_token_share"] == 1
    assert {c["cut_by"] for step in steps for c in step["candidates"]} == {None, "temperature"}


def test_without_checkpoint_it_takes_the_newest_run(minigpt: Run, trained: Path, empty_folder: Path) -> None:
    (empty_folder / "checkpoints").mkdir()
    (empty_folder / "checkpoints/mine").symlink_to(trained)
    assert minigpt("sample", "a", "-n", "2").exit_code == 0


def test_a_snapshot_is_a_checkpoint(minigpt: Run, trained: Path) -> None:
    for snapshot in sorted((trained / "snapshots").iterdir())[::4]:
        assert minigpt("sample", "a", "-n", "2", "-c", str(snapshot)).exit_code == 0


def test_pace_slows_down_no_more_than_asked(sample: Run) -> None:
    assert json_lines(sample("a", "--json", "--pace", "1000"))[-1]["tokens"] == 8


# The order of the stages


def test_the_stages_run_in_the_order_that_is_given(sample: Run) -> None:
    first = json_lines(sample("The cat", "--json", "--stages", "top-p, temperature"))[0]
    assert [stage["name"] for stage in first["stages"]] == ["top-p", "temperature"]
    for number in range(2):
        listed = sum(candidate["after"][number] for candidate in first["candidates"])
        assert listed + first["other"]["after"][number] == pytest.approx(1, abs=1e-9)
    assert json_lines(sample("The cat", "--json", "--stages", ""))[0]["stages"] == []


def test_a_flag_of_a_stage_that_is_left_out_is_refused(sample: Run) -> None:
    result = sample("The cat", "--stages", "top-p", "--top-k", "5")
    assert result.exit_code == 2
    assert "--top-k 5 is given, but --stages leaves top-k out" in " ".join(result.stderr.split())


def test_a_bias_is_given_by_the_text_of_a_token_or_by_its_id(sample: Run, trained: Path) -> None:
    (cat,) = load(trained).tokenizer.encode(" cat")
    first, *_ = json_lines(sample("The", "--json", "--bias", " cat=1000"))
    assert first["token"]["id"] == cat
    assert (first["stages"][0]["name"], first["stages"][0]["value"]) == ("bias", 1)
    assert json_lines(sample("The", "--json", "--bias", f"#{cat}=1000"))[0] == first
    both = json_lines(sample("The", "--json", "--bias", " cat=1000", "--bias", f"#{cat - 1}=1000"))[0]
    assert both["stages"][0]["value"] == 2
    result = sample("The", "--bias", " cat=1000", "--stages", "temperature")
    assert result.exit_code == 2
    assert "--bias is given, but --stages leaves bias out" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("bias", "said"),
    [("cat on=1", "--bias: "), ("cat", "--bias needs a token and a number"), (" cat=nan", "--bias must lie between")],
)
def test_what_is_no_bias_is_refused(sample: Run, bias: str, said: str) -> None:
    result = sample("The", "--bias", bias)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_all_filters_at_once_come_again_from_a_trace(sample: Run, minigpt: Run) -> None:
    flags = ["--bias", " cat=0.5", "--repetition-penalty", "1.1", "--presence-penalty", "0.2", "--frequency-penalty"]
    flags += ["0.1", "--top-n-sigma", "3", "--top-k", "50", "--typical-p", "0.9", "--min-p", "0.01"]
    first, *_ = json_lines(sample("The", "--json", *flags, "--trace", "all.jsonl"))
    assert [stage["name"] for stage in first["stages"]] == [
        "bias", "repetition-penalty", "presence-penalty", "frequency-penalty", "temperature", "top-n-sigma", "top-k",
        "typical-p", "top-p", "min-p",
    ]  # fmt: skip
    result = minigpt("sample", "--replay", "all.jsonl", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["same_numbers"]


@pytest.mark.parametrize(("stages", "said"), [("top-k,top-q", "no stage 'top-q'"), ("top-k,top-k", "top-k twice")])
def test_stages_that_are_unknown_or_named_twice_are_refused(sample: Run, stages: str, said: str) -> None:
    result = sample("The cat", "--stages", stages)
    assert result.exit_code == 2
    assert said in result.stderr


# Several samples


def test_each_of_several_samples_is_what_its_seed_gives(sample: Run) -> None:
    alone = [sample("The cat", "--seed", str(seed)).stdout for seed in (3, 4, 5)]
    assert sample("The cat", "--num-samples", "3").stdout == "\n".join(alone)
    lines = json_lines(sample("The cat", "--num-samples", "3", "--json"))
    ends = [line for line in lines if "stopped_by" in line]
    assert [end["sample"] for end in ends] == [0, 1, 2]
    assert [end["text"] + "\n" for end in ends] == alone
    assert [line["sample"] for line in lines[:6]] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_colours_that_are_forced_bring_no_live_table_into_a_pipe(sample: Run, variable: str) -> None:
    plain = sample("The cat", "--seed", "3", "-n", "5")
    forced = sample("The cat", "--seed", "3", "-n", "5", TERM="xterm-256color", **{variable: "1"})
    assert re.sub(r"\x1b\[[\d;]*m", "", forced.stdout) == plain.stdout


# Heat


@pytest.mark.parametrize("by", ["probability", "entropy", "rank"])
@pytest.mark.parametrize("table", ["none", "every"])
def test_heat_colours_the_text_and_explains_the_colours(minigpt: Run, trained: Path, by: str, table: str) -> None:
    flags = ["-c", str(trained), "--seed", "3", "-n", "8", "--heat", by, "--table", table]
    coloured = minigpt("sample", "The cat", *flags, FORCE_COLOR="1", TERM="xterm-256color", COLUMNS="100")
    plain = minigpt("sample", "The cat", *flags, COLUMNS="100")
    text = coloured.stdout
    assert text.count("\x1b[3") > 5  # five in the legend, and those of the text
    legend = text.rstrip("\n").splitlines()[-1]
    assert by in legend
    assert "\x1b[3" in legend
    unstyled = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert plain.stdout in unstyled
    assert "\x1b" not in plain.stdout
    assert "no colours here" in plain.stderr


def test_without_colours_by_choice_heat_says_so_and_has_no_legend(minigpt: Run, trained: Path) -> None:
    flags = ["-c", str(trained), "-n", "8", "--heat", "rank", "--table", "none"]
    result = minigpt("sample", "The cat", *flags, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")
    assert "no colours here" in result.stderr
    assert "rank" not in result.stdout


def test_heat_is_refused_where_it_means_nothing(sample: Run) -> None:
    assert "--heat must be probability, entropy or rank, not warm" in sample("a", "--heat", "warm").stderr
    for flag in ("--json", "--raw"):
        result = sample("a", "--heat", "rank", flag)
        assert result.exit_code == 2
        assert f"{flag} shows no colours" in result.stderr


# Check


@pytest.mark.parametrize("flags", [[], ["--num-samples", "3"], ["--json"], ["-n", "70", "--ignore-end-of-text"]])
def test_check_compares_every_step_and_says_so(sample: Run, flags: list[str]) -> None:
    result = sample("The cat", "--check", *flags)
    assert result.exit_code == 0
    count = 24 if "3" in flags else 70 if "70" in flags else 8
    assert f"check: {count} cached steps against full passes: the largest difference" in " ".join(result.stderr.split())


def test_check_names_no_token_where_all_logits_are_the_same(sample: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    equal = CacheReport(steps=8, largest_difference=0.0, sample=0, position=0)
    monkeypatch.setattr("minigpt.app.sample_run.SampleRun.difference", lambda run: equal)
    assert "the largest difference of two logits is 0.\n" in sample("The cat", "--check").stderr


def test_check_fails_where_the_cache_is_wrong(sample: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    right = CachedDecoder.step

    def wrong(decoder: CachedDecoder, tokens: list[int]) -> np.ndarray:
        return right(decoder, tokens) + (0.001 if len(decoder.ids[0]) == 9 else 0)

    monkeypatch.setattr(CachedDecoder, "step", wrong)
    result = sample("The cat", "--check")
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert (
        "full passes over the same ids disagree: the largest difference of two logits is 0.001, for token 9" in message
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", [("--dtype", "bfloat16"), ("--quantize", "int8")])
def test_it_samples_from_smaller_weights(sample: Run, option: tuple[str, str]) -> None:
    result = sample("The cat", *option)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("The cat")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--dtype", "half"), "--dtype must be float32 or bfloat16, not half."),
        (("--quantize", "4"), "--quantize must be none or int8, not 4."),
        (("--quantize", "int8", "--trace", "x"), "--trace is replayed in float32: leave out --dtype and --quantize."),
        (("--dtype", "bfloat16", "--check"), "--check compares in float32: leave out --dtype and --quantize."),
    ],
)
def test_smaller_weights_that_there_are_not_are_refused(sample: Run, options: tuple[str, ...], reason: str) -> None:
    result = sample("The cat", *options)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
