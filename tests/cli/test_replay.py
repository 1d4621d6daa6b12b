"""`sample --trace` and `sample --replay`: the same text again, whatever way it was shown; findings and refusals."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load
from minigpt.sampling.trace import TraceHeader, TraceWriter, TreePlace, read_trace
from minigpt.settings import SampleConfig
from minigpt.views.probs import every_token

Run = Callable[..., Any]


@pytest.fixture
def sample(minigpt: Run, trained: Path) -> Run:
    """Twelve tokens of the trained run into a trace, cat.jsonl."""

    def run(*arguments: str, **options: Any) -> Any:
        flags = ["-c", str(trained), "--seed", "3", "-n", "12", "--trace", "cat.jsonl"]
        result = minigpt("sample", "The cat", *flags, *arguments, **options)
        assert result.exit_code == 0, result.stderr
        return result

    return run


@pytest.fixture
def replay(minigpt: Run) -> Run:
    return lambda *arguments, **options: minigpt("sample", "--replay", "cat.jsonl", *arguments, **options)


@pytest.fixture
def moved(trained: Path) -> Path:
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(trained, "copy"))


def edit(line: int, how: Callable[[dict[str, Any]], object], path: str = "cat.jsonl") -> None:
    lines = Path(path).read_text().splitlines()
    values = json.loads(lines[line])
    how(values)
    lines[line] = json.dumps(values)
    Path(path).write_text("\n".join(lines) + "\n")


def words(text: str) -> str:
    return " ".join(text.split())


# Made again


@pytest.mark.parametrize("showing", [[], ["--json"], ["--raw"], ["--table", "every"], ["-q"], ["--pace", "1000"]])
@pytest.mark.parametrize("several", [[], ["--num-samples", "3"]])
def test_the_same_comes_out_whatever_way_it_was_shown(
    sample: Run, replay: Run, showing: list[str], several: list[str]
) -> None:
    sample(*showing, *several)
    result = replay()
    assert result.exit_code == 0, result.stderr
    Path("cat.jsonl").rename("first.jsonl")
    assert sample(*several).stdout == result.stdout
    tokens = 36 if several else 12
    progress = f"replaying {tokens} tokens "  # is told where it takes long
    assert words(result.stderr).removeprefix(progress) == (
        f"the same {tokens} tokens, drawn again, id for id · the largest difference in a probability is 0"
    )


def test_samples_come_in_their_order_whichever_ends_first(sample: Run, replay: Run) -> None:
    text = sample("--num-samples", "9", "--stop", "a", "--stop", "o").stdout
    ends = [json.loads(line) for line in Path("cat.jsonl").read_text().splitlines() if '"stopped_by"' in line]
    assert [end["sample"] for end in ends] != list(range(9))
    assert replay().stdout == text


@pytest.mark.parametrize(
    "flags",
    [
        ["-n", "70"],  # beyond the context
        ["--temperature", "0"],
        ["--top-k", "7", "--min-p", "0.01", "--repetition-penalty", "1.3", "--top", "300"],
        ["--stop", "a", "--stop", "e", "--num-samples", "4"],
        ["--ignore-end-of-text", "--temperature", "3", "--top-p", "1", "-n", "60"],
        ["--threads", "1", "--device", "cpu"],
    ],
)
def test_every_setting_comes_from_the_trace(sample: Run, replay: Run, flags: list[str]) -> None:
    sample(*flags)
    result = replay("--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["agrees"], found["same_numbers"], found["changes"]) == (True, True, [])
    assert found["tokens"] == len(read_trace(Path("cat.jsonl")).steps)


def test_the_trace_holds_the_very_records_of_json(sample: Run) -> None:
    *shown, end = sample("--json").stdout.splitlines()
    _, *kept, last, _ = Path("cat.jsonl").read_text().splitlines()
    assert kept == shown
    assert json.loads(last).items() <= json.loads(end).items()  # which also says of what it is, as the first line does


def test_the_summary_says_how_to_replay(sample: Run, minigpt: Run, trained: Path) -> None:
    assert words(sample().stderr).endswith("again: --replay cat.jsonl")
    name = "it's a\x1b cat.jsonl"
    result = minigpt("sample", "a", "-c", str(trained), "-n", "2", "--trace", name)
    assert "again: --replay 'it'\"'\"'s a<ESC> cat.jsonl'" in words(result.stderr)
    assert minigpt("sample", "--replay", name).exit_code == 0


def test_a_prompt_that_steers_a_terminal_does_not_when_it_is_replayed(minigpt: Run, trained: Path, replay: Run) -> None:
    prompt = "a\x1b[31m\x00\u202e b\tc"
    first = minigpt("sample", prompt, "-c", str(trained), "-n", "4", "--seed", "1", "--trace", "cat.jsonl")
    assert (again := replay()).stdout == first.stdout
    assert again.stdout.startswith("a<ESC>[31m<NUL><U+202E> b\tc")


def test_the_same_checkpoint_elsewhere_is_the_same(sample: Run, replay: Run, moved: Path) -> None:
    sample()
    assert "12 tokens, drawn again" in words(replay("-c", str(moved)).stderr)


def test_quiet_leaves_the_text_alone(sample: Run, replay: Run) -> None:
    text = sample().stdout
    result = replay("-q")
    assert (result.stdout, result.stderr) == (text, "")


# Findings


def test_another_token_is_a_finding(sample: Run, replay: Run) -> None:
    sample()
    step = read_trace(Path("cat.jsonl")).steps[6].record
    index, other = next((i, c) for i, c in enumerate(step.candidates) if c != step.token)
    edit(7, lambda values: values.update(token=values["candidates"][index]))
    result = replay()
    assert result.exit_code == 1
    assert result.stdout == ""
    first, second, third = result.stderr.splitlines()
    assert first.startswith("minigpt sample: cat.jsonl is not reproduced: step 7 of sample 0 was “")
    assert f"({other.id})" in first
    assert second == "The 6 tokens before are the same; the largest difference in a probability is 0."
    assert third == "Versions, machine and device are unchanged."
    result = replay("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["divergence"]["step"] == 7


def test_another_number_is_a_finding(sample: Run, replay: Run) -> None:
    sample()
    edit(3, lambda values: values.update(entropy_bits=values["entropy_bits"] + 1))
    result = replay("-q")
    assert result.exit_code == 1
    assert "in a surprisal or entropy 1 bits, more than rounding explains" in result.stderr


def test_a_trace_of_another_machine_says_what_is_not_as_it_was(sample: Run, replay: Run) -> None:
    sample()
    edit(0, lambda values: values["versions"].update(torch="2.11.0", machine="Darwin arm64 DEFAULT"))
    edit(0, lambda values: values.update(device="cuda:7", threads=4000))
    result = replay()
    assert result.exit_code == 0, result.stderr
    for part in (
        "torch 2.11.0 then and",
        "machine Darwin arm64 DEFAULT then",
        "device cuda:7 then and",
        "threads 4000",
    ):
        assert part in words(result.stderr)


# Another checkpoint


def test_another_checkpoint_scores_the_same_tokens(sample: Run, replay: Run, trained: Path, minigpt: Run) -> None:
    sample("--num-samples", "2")
    snapshot = trained / "snapshots" / "step-000000"
    result = replay("-c", str(snapshot), "--top", "5")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert "the 5 of 24 tokens at which A and B differ most" in words(result.stdout)
    values = json.loads(replay("-c", str(snapshot), "--top", "5", "--json").stdout)
    assert values["tokens"] == 24
    assert values["other_checkpoint"] == str(snapshot)
    assert [set(row) for row in values["most_different"]] == [
        {"id", "text", "bytes", "sample", "node", "position", "before", "surprisal_bits", "other_surprisal_bits",
         "rank", "other_rank"}
    ] * 5  # fmt: skip
    trace = read_trace(Path("cat.jsonl"))
    assert values["bits_per_token"] == pytest.approx(sum(end.bits_per_token for end in trace.ends) / 2)


def test_a_checkpoint_with_other_tokens_is_refused_by_the_first(
    sample: Run, replay: Run, minigpt: Run, notes: str, tiny: list[str]
) -> None:
    sample()
    shape = tiny[: tiny.index("--vocab-size")]
    assert minigpt("train", notes, *shape, "--tokenizer", "char", "--steps", "2", "--out", "char", "-q").exit_code == 0
    result = replay("-c", "char")
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt sample: Token ")
    assert "their vocabularies differ" in result.stderr


def test_a_checkpoint_that_is_gone_or_has_changed(minigpt: Run, replay: Run, moved: Path, trained: Path) -> None:
    assert minigpt("sample", "a", "-n", "3", "-c", "copy", "--trace", "cat.jsonl").exit_code == 0
    shutil.copy(trained / "snapshots" / "step-000000" / "model.safetensors", moved)
    result = replay()
    assert result.exit_code == 1
    assert "copy is no longer what cat.jsonl was made with: its weights changed." in result.stderr
    assert replay("-c", "copy").exit_code == 0
    shutil.rmtree(moved)
    result = replay()
    assert result.exit_code == 1
    assert "was made with the checkpoint copy, which is not there." in result.stderr
    assert replay("-c", str(trained)).exit_code == 0


@pytest.mark.parametrize("path", ["", "\x00", "a" * 5000, "../..", "\x1b[2J"])
def test_a_trace_may_name_anything_as_its_checkpoint(sample: Run, replay: Run, path: str) -> None:
    sample()
    edit(0, lambda values: values.update(checkpoint=path))
    result = replay()
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


# A tree


def test_a_tree_is_scored_again(replay: Run, trained: Path) -> None:
    loaded = load(trained)
    ids = loaded.tokenizer.encode("The cat sat on")
    records = list(every_token(loaded.model, loaded.tokenizer, ids, top=4))
    header = TraceHeader.of(loaded, "The", SampleConfig(), made_by="explore")
    begin = len(header.prompt_ids)
    assert header.prompt_ids == tuple(ids[:begin])
    with TraceWriter.open(Path("cat.jsonl"), header) as writer:
        for node, record in enumerate(records[begin:]):
            writer.write(record, TreePlace(node=node, parent=node - 1 if node else None))
    result = replay()
    assert result.exit_code == 0, result.stderr
    count = len(records) - begin
    assert words(result.stdout).startswith(f"the same {count} tokens, scored again · the largest difference in")
    values = json.loads(replay("-c", str(trained / "snapshots" / "step-000000"), "--json").stdout)
    assert {row["node"] for row in values["most_different"]} == set(range(count))
    edit(1, lambda values: values.update(surprisal_bits=30.0))
    assert replay().exit_code == 1


# Refusals


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["The cat"], "leave out the prompt"),
        (["-n", "5", "--seed", "1"], "leave out --max-tokens"),
        (["--temperature", "0.8"], "leave out --temperature"),
        (["--table", "none"], "leave out --table"),
        (["--trace", "other.jsonl"], "leave out --trace"),
        (["--num-samples", "1"], "leave out --num-samples"),
        (["--raw"], "leave out --raw"),
    ],
)
def test_a_replay_takes_no_settings(sample: Run, replay: Run, flags: list[str], part: str) -> None:
    sample()
    result = replay(*flags)
    assert result.exit_code == 2
    assert f"minigpt sample: --replay takes the prompt and all settings from the trace: {part}." in result.stderr


def test_settings_of_a_config_file_are_settings(sample: Run, replay: Run) -> None:
    sample()
    Path("mine.toml").write_text("temperature = 0.5\n")
    result = replay("--config", "mine.toml")
    assert result.exit_code == 2
    assert "leave out --temperature" in result.stderr
    assert "mine.toml says temperature = 0.5" in result.stderr


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not a minigpt trace"),
        (b"\x7fELF" + bytes(3000), "is not a minigpt trace"),
        (b'{"a": 1}\n' * 9, "is not a minigpt trace"),
    ],
)
def test_what_is_no_trace_is_one_clear_line(replay: Run, data: bytes | None, part: str) -> None:
    if data is not None:
        Path("cat.jsonl").write_bytes(data)
    result = replay()
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt sample: cat.jsonl ")
    assert part in result.stderr


def test_settings_in_a_trace_that_no_flag_would_take_are_told_by_the_flag(sample: Run, replay: Run) -> None:
    sample()
    edit(0, lambda header: header["settings"].update(top_k=-1))
    result = replay()
    assert result.exit_code == 1
    assert words(result.stderr).endswith("is damaged, in line 1: --top-k must be 0 (off) or more, not -1.")


def test_a_trace_that_exists_is_not_written_over(sample: Run, minigpt: Run, trained: Path) -> None:
    sample()
    before = Path("cat.jsonl").read_bytes()
    result = minigpt("sample", "a", "-c", str(trained), "-n", "2", "--trace", "cat.jsonl")
    assert result.exit_code == 1
    assert "cat.jsonl exists already" in result.stderr
    assert result.stdout == ""
    assert Path("cat.jsonl").read_bytes() == before


def test_a_trace_in_no_folder(minigpt: Run, trained: Path) -> None:
    result = minigpt("sample", "a", "-c", str(trained), "-n", "2", "--trace", "no/where.jsonl")
    assert result.exit_code == 1
    assert result.stderr == "minigpt sample: no/where.jsonl cannot be made: No such file or directory.\n"


# As a process


def test_ctrl_c_leaves_what_was_drawn_and_a_replay_says_that_it_is_cut_off(
    start: Callable[..., Any], replay: Run, trained: Path
) -> None:
    process = start("sample", "a", "-c", str(trained), "-n", "1000000", "--trace", "cat.jsonl")
    assert process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"Traceback" not in err
    result = replay()
    assert result.exit_code == 1
    assert "cat.jsonl is cut off: it ends after line " in result.stderr


def test_a_closed_pipe_ends_a_trace_quietly(start: Callable[..., Any], trained: Path) -> None:
    process = start(shell=f"$M sample a -c {trained} -n 100000 --json -q --trace cat.jsonl | head -1")
    out, err = process.communicate(timeout=600)
    assert (out.count(b"\n"), err) == (1, b"")
    assert Path("cat.jsonl").read_bytes().count(b"\n") > 1
