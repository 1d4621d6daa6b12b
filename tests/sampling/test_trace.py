"""What was written comes back equal; what is damaged, cut off or foreign is said in one clear line."""

import copy
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CheckpointError, OutputError, TraceError
from minigpt.records import to_plain
from minigpt.sampling import trace as trace_module
from minigpt.sampling.records import SampleEnd, StepRecord
from minigpt.sampling.trace import Fingerprint, TraceHeader, TraceStep, TraceWriter, read_trace
from minigpt.settings import SampleConfig

Entries = list[StepRecord | SampleEnd]
Edit = Callable[[Path, int, Callable[[dict[str, Any]], object]], None]


def refusal(path: Path) -> str:
    """The message for a trace that is refused."""
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable() or "\n" in message
    return message


def write(path: Path, header: TraceHeader, entries: Entries) -> None:
    with TraceWriter.open(path, header) as writer:
        for entry in entries:
            writer.write(entry)


# There and back


def test_what_was_written_comes_back_equal(trace_file: Path, header: TraceHeader, entries: Entries) -> None:
    trace = read_trace(trace_file)
    assert trace.header == header
    assert [step.record for step in trace.steps] == [entry for entry in entries if isinstance(entry, StepRecord)]
    assert list(trace.ends) == sorted((e for e in entries if isinstance(e, SampleEnd)), key=lambda end: end.sample)


def test_a_tree_comes_back_equal(tree_file: Path, tree: list[TraceStep]) -> None:
    trace = read_trace(tree_file)
    assert list(trace.steps) == tree
    assert trace.ends == ()
    assert len({step.node for step in trace.steps}) == 14


def test_the_lines_are_those_of_json_between_a_first_and_a_last(trace_file: Path) -> None:
    first, *lines, last = map(json.loads, trace_file.read_text("ascii").splitlines())
    assert (first["format"], first["number"]) == ("minigpt trace", 3)
    assert last == {"end": sum("candidates" in line for line in lines)}
    assert [line["sample"] for line in lines if "stopped_by" in line] == [0, 1]
    assert not any("node" in line for line in lines)


def test_the_header_has_every_setting_and_what_the_model_read(toy: Checkpoint, header: TraceHeader) -> None:
    assert header.prompt_ids == tuple(toy.tokenizer.encode("The quick"))
    assert {field.name for field in fields(header.settings)} == {field.name for field in fields(SampleConfig)}
    empty = TraceHeader.of(toy, "", SampleConfig())
    assert empty.prompt_ids == (toy.tokenizer.end_of_text,)


def test_every_line_is_on_disk_at_once(tmp_path: Path, header: TraceHeader, entries: Entries) -> None:
    path = tmp_path / "growing.jsonl"
    with TraceWriter.open(path, header) as writer:
        for lines, entry in enumerate(entries, 2):
            writer.write(entry)
            assert path.read_bytes().count(b"\n") == lines
            assert "is cut off" in refusal(path)
    read_trace(path)


def test_windows_line_ends_are_read(trace_file: Path) -> None:
    whole = read_trace(trace_file)
    trace_file.write_bytes(trace_file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_trace(trace_file) == whole


def test_a_fingerprint_changes_with_every_file_that_matters(checkpoint_folder: Path) -> None:
    before = Fingerprint.of(checkpoint_folder)
    for name, field in (("model.safetensors", "weights"), ("tokenizer.json", "tokenizer"), ("config.json", "config")):
        data = (checkpoint_folder / name).read_bytes()
        (checkpoint_folder / name).write_bytes(data + b" ")
        assert replace(Fingerprint.of(checkpoint_folder), **{field: getattr(before, field)}) == before
        assert Fingerprint.of(checkpoint_folder) != before
        (checkpoint_folder / name).write_bytes(data)
    (checkpoint_folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        Fingerprint.of(checkpoint_folder)


# Writing


@pytest.mark.parametrize("there", ["file", "folder", "link to nowhere"])
def test_nothing_is_ever_overwritten(tmp_path: Path, header: TraceHeader, there: str) -> None:
    path = tmp_path / "mine"
    if there == "file":
        path.write_text("precious")
    elif there == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"), TraceWriter.open(path, header):
        pass
    assert os.path.lexists(path)
    assert not path.is_file() or path.read_text() == "precious"


def test_a_place_that_does_not_exist(tmp_path: Path, header: TraceHeader) -> None:
    with (
        pytest.raises(OutputError, match="cannot be made: No such file"),
        TraceWriter.open(tmp_path / "no/where", header),
    ):
        pass


def test_without_a_step_nothing_is_left(tmp_path: Path, header: TraceHeader) -> None:
    with pytest.raises(KeyboardInterrupt), TraceWriter.open(tmp_path / "none", header):
        raise KeyboardInterrupt
    with TraceWriter.open(tmp_path / "none", header):
        pass
    assert not (tmp_path / "none").exists()


def test_what_was_interrupted_stays_and_is_told(tmp_path: Path, header: TraceHeader, entries: Entries) -> None:
    path = tmp_path / "half.jsonl"

    def interrupted() -> None:
        with TraceWriter.open(path, header) as writer:
            writer.write(entries[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "is cut off: it ends after line 2," in refusal(path)


def test_a_full_disk_is_one_clear_message(tmp_path: Path, header: TraceHeader, entries: Entries) -> None:
    path, before = tmp_path / "full.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"full\.jsonl cannot be written: File too large\."):
            write(path, header, entries)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.stat().st_size == 5000
    assert "is cut off: it ends in the middle of line" in refusal(path)


def test_a_line_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, header: TraceHeader, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_module, "LONGEST_LINE", 2000)
    long = replace(entries[0], candidates=entries[0].candidates * 9)  # type: ignore[union-attr]
    with pytest.raises(OutputError, match="more than the 2,000"), TraceWriter.open(tmp_path / "long", header) as writer:
        writer.write(long)


# Cut off


def test_a_trace_cut_off_after_any_line_is_told(trace_file: Path) -> None:
    lines = trace_file.read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        trace_file.write_bytes(b"".join(lines[:count]))
        assert f"is cut off: it ends after line {count}," in refusal(trace_file)


def test_a_trace_cut_off_at_any_byte_is_told(trace_file: Path) -> None:
    data = trace_file.read_bytes()
    for length in [*range(40, len(data), 97), len(data) - 1]:
        trace_file.write_bytes(data[:length])
        assert "is cut off: it ends " in refusal(trace_file)


def test_a_line_that_is_missing_or_there_twice_is_told(trace_file: Path) -> None:
    lines = trace_file.read_bytes().splitlines(keepends=True)
    for index in range(1, len(lines)):
        for times in (0, 2):
            trace_file.write_bytes(b"".join([*lines[:index], lines[index] * times, *lines[index + 1 :]]))
            last_is_missing = (times, index) == (0, len(lines) - 1)
            assert ("is cut off" if last_is_missing else "is damaged, in line") in refusal(trace_file)


# Foreign


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"hello",
        b"\x00" * 5000,
        b"\xff\xfe" + "{}".encode("utf-16-le"),
        bytes(range(256)) * 40,
        b'{"step": 0, "loss_nats": 4.5}\n{"step": 1}\n',
        b'{"steps": []}\n',
        b"[1, 2]\n",
        b'"minigpt"\n',
        b"null\n",
    ],
)
def test_another_file_is_no_trace(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other").write_bytes(data)
    assert "is not a minigpt trace" in refusal(tmp_path / "other")


def test_a_place_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "missing")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("begin", [b"", b'{"format": "minigpt trace", "number": 1, "x": "'], ids=["foreign", "ours"])
def test_a_file_of_one_endless_line_is_not_swallowed(
    tmp_path: Path, begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_module, "LONGEST_LINE", 1 << 16)
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(1 << 40)  # a hole of a terabyte
    message = refusal(path)
    assert "longer than 65,536 bytes" in message if begin else "not a minigpt trace" in message


@pytest.mark.parametrize("number", [4, 7, 10**30])
def test_a_later_format_is_refused_by_its_number(trace_file: Path, edit: Edit, number: int) -> None:
    edit(trace_file, 0, lambda values: values.update(number=number))
    assert f"is a trace of format {number}, and this minigpt, " in refusal(trace_file)


def test_a_trace_from_before_some_filters_is_read_as_one_without_them(trace_file: Path, edit: Edit) -> None:
    def older(values: dict[str, Any]) -> None:
        values["number"] = 1
        for name in ("bias", "presence_penalty", "frequency_penalty", "top_n_sigma", "typical_p"):
            del values["settings"][name]
        del values["generator"]

    newer = read_trace(trace_file)
    edit(trace_file, 0, older)
    assert read_trace(trace_file) == replace(newer, header=replace(newer.header, generator="mt19937"))
    edit(trace_file, 0, lambda values: values.update(number=2))
    assert "has no bias" in refusal(trace_file)


@pytest.mark.parametrize("number", [0, -1, "1", 1.0, True, None])
def test_what_is_no_number_of_a_format_is_damage(trace_file: Path, edit: Edit, number: object) -> None:
    edit(trace_file, 0, lambda values: values.update(number=number))
    assert "is damaged, in line 1: it does not name its format" in refusal(trace_file)


# Damaged


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a JSON document stands, those inside others too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from leaves(item, (*path, name))


def put(document: Any, path: tuple[Any, ...], value: object) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("line", [0, 1, -2, -1], ids=["header", "step", "end of a sample", "last"])
@pytest.mark.parametrize(
    "wrong",
    ["text", [], {}, None, True, [[[]]], 10**40, -(10**40), -7, 1e300, "\ud800"],
    ids=lambda value: repr(value)[:9],
)
def test_a_value_of_another_type_or_out_of_range_is_never_taken(trace_file: Path, line: int, wrong: object) -> None:
    lines = trace_file.read_text("ascii").splitlines()
    document = json.loads(lines[line])
    for path in leaves(document):
        old = document
        for name in path:
            old = old[name]
        if type(old) is type(wrong) or (wrong == [] and "stages" in path) or _harmless(path, old, wrong):
            continue
        lines[line] = json.dumps(put(document, path, wrong))
        trace_file.write_text("\n".join(lines) + "\n")
        assert refusal(trace_file), (path, wrong)


def _harmless(path: tuple[Any, ...], old: object, wrong: object) -> bool:
    """Numbers that another sample may well have; what may be missing."""
    free = {"seconds", "tokens_per_second", "bits_per_token", "entropy_bits_per_token", "top_token_share", "logit",
            "value", "temperature", "presence_penalty", "frequency_penalty",
            "entropy_bits", "surprisal_bits"}  # fmt: skip
    number = isinstance(wrong, (int, float)) and not isinstance(wrong, bool)
    return (number and path[-1] in free) or (path[-1] in ("text", "cut_by") and (wrong is None or old is None))


@pytest.mark.parametrize("line", [0, 1, -2, -1], ids=["header", "step", "end of a sample", "last"])
def test_a_name_that_is_missing_or_unknown_is_told(trace_file: Path, line: int, edit: Edit) -> None:
    whole = trace_file.read_bytes()
    names = list(json.loads(whole.splitlines()[line]))
    for name in names:
        edit(trace_file, line, lambda values, name=name: values.pop(name))
        assert refusal(trace_file)
        trace_file.write_bytes(whole)
    edit(trace_file, line, lambda values: values.update({"\x1b[31m": 1}))
    message = refusal(trace_file)
    assert "is damaged, in line" in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (b'"position":', b'"position": 3, "position":', 'it gives "position" twice'),
        (b'"raw_prob": 0', b'"raw_prob": NaN, "x": 0', "it contains NaN"),
        (b'"entropy_bits": ', b'"entropy_bits": Infinity, "x": ', "it contains Infinity"),
        (b'"entropy_bits": ', b'"entropy_bits": 1e999, "x": ', "unknown name"),
        (b'"entropy_bits": ', b'"entropy_bits": ' + b"9" * 5000 + b', "x": ', "too many digits"),
        (b'"position":', b'"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "position":', "nested too deeply"),
        (b'"candidates"', b'"candidate\xff"', "it is not UTF-8: byte 0xff"),
        (b'"candidates"', b"candidates", "it is not JSON"),
    ],
)
def test_what_is_no_json_of_ours(trace_file: Path, old: bytes, new: bytes, part: str) -> None:
    first, second, rest = trace_file.read_bytes().split(b"\n", 2)
    trace_file.write_bytes(b"\n".join([first, second.replace(old, new, 1), rest]))
    assert "is damaged, in line 2: " in (message := refusal(trace_file))
    assert part in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"position": -1}, "position is -1, where 2 must be"),
        ({"position": 10**18}, "where 2 must be"),
        ({"position": 10**20}, "position is a number too large"),
        ({"sample": 2}, "sample is 2, where there are 2, from 0"),
        ({"sample": -1}, "sample is -1"),
        ({"token": None}, "it has no token"),
        ({"entropy_bits": None}, "it has no token with its numbers"),
        ({"candidates": []}, "its token is not among the candidates"),
        ({"node": 0, "parent": None}, "a sample is not a tree"),
        ({"node": "0"}, 'node is "0", where a whole number must be'),
    ],
)
def test_a_step_that_cannot_stand_there(trace_file: Path, edit: Edit, change: dict[str, Any], part: str) -> None:
    position = read_trace(trace_file).steps[0].record.position
    edit(trace_file, 1, lambda values: values.update(change))
    assert part.replace("where 2", f"where {position}") in refusal(trace_file)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"prompt_ids": []}, "prompt_ids is empty"),
        ({"prompt_ids": [320]}, "there is no token 320 in a vocabulary of 320"),
        ({"prompt_ids": [-1]}, "there is no token -1"),
        ({"prompt_ids": ["1"]}, 'prompt_ids[0] is "1", where a whole number must be'),
        (
            {"settings": {**to_plain(SampleConfig()), "bias": [[320, 1.0]]}},
            "there is no token 320 in a vocabulary of 320",
        ),
        ({"settings": {**to_plain(SampleConfig()), "bias": [[3]]}}, "where a list of 2 must be"),
        ({"made_by": "hand"}, 'made_by is "hand"'),
        ({"generator": "dice"}, 'generator is "dice", where philox4x32-10 or mt19937 must be'),
        ({"num_samples": 3}, "sample 2 has no end"),
        ({"num_samples": 10**18}, "sample 2 has no end"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"vocab_size": 10}, "in a vocabulary of 10"),
        ({"prompt": "another"}, "prompt is not the one of the first line"),
    ],
)
def test_a_header_that_cannot_be(trace_file: Path, edit: Edit, change: dict[str, Any], part: str) -> None:
    edit(trace_file, 0, lambda values: values.update(change))
    assert part in refusal(trace_file)


def test_settings_that_no_flag_would_take_are_told_by_the_flag(trace_file: Path, edit: Edit) -> None:
    edit(trace_file, 0, lambda values: values["settings"].update(top_p=1.5))
    assert "is damaged, in line 1: top_p= must be above 0" in refusal(trace_file)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"node": 0}, "node is 0, which is there already"),
        ({"node": -1}, "node is -1, which is negative"),
        ({"parent": 99}, "parent is 99, which no step before it has"),
        ({"parent": 13}, "parent is 13, which no step before it has"),  # its own child
        ({"parent": 3}, "position is"),
    ],
)
def test_a_tree_that_is_none(tree_file: Path, edit: Edit, change: dict[str, Any], part: str) -> None:
    edit(tree_file, 6, lambda values: values.update(change))
    assert part in refusal(tree_file)


def test_a_tree_needs_nodes(tree_file: Path, edit: Edit) -> None:
    edit(tree_file, 3, lambda values: (values.pop("node"), values.pop("parent")))
    assert "it has no node" in refusal(tree_file)


def test_something_behind_the_end_is_told(trace_file: Path) -> None:
    trace_file.write_bytes(trace_file.read_bytes() + b"\n")
    assert "something follows it" in refusal(trace_file)
