"""generation_config.json is kept in exports and in runs that start from a model; the ids in it are the tokenizer's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from minigpt.checkpoint.export import export_folder
from minigpt.checkpoint.folder import load
from minigpt.checkpoint.generation import generation_to_json, read_generation, within
from minigpt.errors import CheckpointError

SETTINGS: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repetition_penalty": 1.3,
    "max_length": 50,
    "no_repeat_ngram_size": 3,
    "bad_words_ids": [[5], [6, 7]],
    "stop_strings": ["\n\n", "END"],
    "a_setting_of_tomorrow": {"a": [1, None, "é"]},
}


def write(folder: Path, name: str, values: Any) -> None:
    (folder / name).write_text(json.dumps(values), "utf-8")


def read(folder: Path, name: str = "generation_config.json") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
    return values


def test_an_export_keeps_all_settings(checkpoint_folder: Path, tmp_path: Path) -> None:
    write(checkpoint_folder, "generation_config.json", SETTINGS)
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    kept = read(tmp_path / "out")
    end = load(checkpoint_folder).tokenizer.end_of_text
    assert kept == {**SETTINGS, "bos_token_id": end, "eos_token_id": end}
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config
    known = [name for name in SETTINGS if name != "a_setting_of_tomorrow"]
    assert {name: getattr(theirs, name) for name in known} == {name: SETTINGS[name] for name in known}


def test_an_export_of_an_export_is_the_same(checkpoint_folder: Path, tmp_path: Path) -> None:
    write(checkpoint_folder, "generation_config.json", SETTINGS)
    export_folder(tmp_path / "one", load(checkpoint_folder), "float32")
    export_folder(tmp_path / "two", load(tmp_path / "one"), "float32")
    assert read(tmp_path / "two") == read(tmp_path / "one")


def test_without_a_length_it_is_the_context(checkpoint_folder: Path, tmp_path: Path) -> None:
    context = load(checkpoint_folder).model.config.context
    for given in ({}, {"max_length": None}, {"max_new_tokens": None}):
        write(checkpoint_folder, "generation_config.json", given)
        export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
        assert read(tmp_path / "out")["max_length"] == context
    write(checkpoint_folder, "generation_config.json", {"max_new_tokens": 3})
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    assert "max_length" not in read(tmp_path / "out")


def test_settings_of_an_older_folder_are_those_of_its_config(checkpoint_folder: Path, tmp_path: Path) -> None:
    """transformers 5.23 reads them there where generation_config.json is missing (modeling_utils.py)."""
    (checkpoint_folder / "generation_config.json").unlink()
    settings = {"do_sample": True, "temperature": 0.7, "top_k": 40, "repetition_penalty": 1.3, "max_length": 12}
    write(checkpoint_folder, "config.json", {**read(checkpoint_folder, "config.json"), **settings})
    before = transformers.AutoModelForCausalLM.from_pretrained(checkpoint_folder).generation_config
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    after = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config
    for name, value in settings.items():
        assert getattr(before, name) == getattr(after, name) == value
    assert before.eos_token_id == after.eos_token_id


def test_the_ids_are_the_tokenizers(checkpoint_folder: Path, tmp_path: Path) -> None:
    end = load(checkpoint_folder).tokenizer.end_of_text
    write(checkpoint_folder, "generation_config.json", {"bos_token_id": 99_999, "eos_token_id": [end, 99_999]})
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    assert {name: read(tmp_path / "out")[name] for name in ("bos_token_id", "eos_token_id")} == {
        "bos_token_id": end,
        "eos_token_id": end,
    }


@pytest.mark.parametrize("given", [7, [7], [7, 3], [3, 7]])
def test_ends_that_the_tokenizer_has_stay_as_they_are_written(given: Any) -> None:
    ours = sorted(given) if isinstance(given, list) and len(given) > 1 else 7
    found = generation_to_json({"eos_token_id": given, "pad_token_id": 3}, {"eos_token_id": ours}, 16)
    assert found == {"eos_token_id": given, "pad_token_id": 3, "max_length": 16}


def test_what_json_cannot_hold_is_left_out(checkpoint_folder: Path, tmp_path: Path) -> None:
    path = checkpoint_folder / "generation_config.json"
    path.write_text('{"temperature": NaN, "top_p": [Infinity], "stop_strings": ["\\ud800"], "top_k": 3}', "utf-8")
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    assert {name for name in read(tmp_path / "out") if not name.endswith("_id")} == {"top_k", "max_length"}


def test_a_file_of_any_size_is_not_read(checkpoint_folder: Path) -> None:
    write(checkpoint_folder, "generation_config.json", {"stop_strings": ["x" * (1 << 20)]})
    with pytest.raises(CheckpointError, match=r"generation_config\.json has .* more than 1,048,576 are not read"):
        load(checkpoint_folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"a": 1, "a": 2}'])
def test_a_damaged_file_is_named(checkpoint_folder: Path, text: str) -> None:
    (checkpoint_folder / "generation_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"generation_config\.json"):
        load(checkpoint_folder)


def test_a_run_keeps_the_settings_of_its_base(
    checkpoint_folder: Path, tmp_path: Path, minigpt: Callable[..., Any]
) -> None:
    write(checkpoint_folder, "generation_config.json", SETTINGS)
    (tmp_path / "a.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200, "utf-8")
    context = load(checkpoint_folder).model.config.context
    out = tmp_path / "run"
    given = [str(tmp_path / "a.txt"), "--from", str(checkpoint_folder), "--context", str(context // 2)]
    ended = minigpt("train", *given, "--steps", "2", "--snapshots", "1", "--out", str(out))
    assert ended.exit_code == 0, ended.output
    folders = [out, *(out / "snapshots").iterdir()]
    assert len(folders) > 1
    for folder in folders:
        kept = read(folder)
        assert {name: kept[name] for name in SETTINGS} == {**SETTINGS, "max_length": context // 2}
        assert read_generation(folder) == kept


def test_max_length_is_kept_where_the_context_is() -> None:
    assert within({"max_length": 50, "top_k": 3}, 16, 16) == {"max_length": 50, "top_k": 3}
    assert within({"max_length": 50}, 8, 16) == {"max_length": 8}
    assert within({"max_length": 5}, 8, 16) == {"max_length": 5}
    assert within({"max_length": "long"}, 8, 16) == {"max_length": "long"}


def test_a_pipeline_stays_within_the_context(checkpoint_folder: Path, tmp_path: Path) -> None:
    export_folder(tmp_path / "out", load(checkpoint_folder), "float32")
    torch.manual_seed(0)
    write_text = transformers.pipeline("text-generation", str(tmp_path / "out"))
    assert write_text("The")[0]["generated_text"].startswith("The")
