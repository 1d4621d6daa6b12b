"""The values of a pickle, read without unpickling: what Python's pickle reads of it, or one sentence."""

import os
import pickle
import pickletools
import random
from collections import OrderedDict
from typing import Any

import pytest

from minigpt.checkpoint.pickled import LARGEST, Call, Name, read_pickle
from minigpt.errors import CheckpointError

VALUES: dict[str, Any] = {
    "nothing": None,
    "switches": [True, False],
    "whole numbers": [0, 1, -1, 255, 256, 65_536, -(1 << 31), 1 << 40, -(1 << 63)],
    "other numbers": [0.0, -1.5, 1e300, float("inf")],
    "texts": ["", "a", "é", "日本", "😀", "\n", "\\", "'", "x" * 300],
    "bytes": [b"a", b"y" * 300],
    "tables": {"a": {1: "b"}, 2: [], "c": {}},
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "one thing twice": [one := ["x"], one],
    "characters": {
        "itos": dict(enumerate("\n aé日")),
        "stoi": {"a": 2, "é": 3},
        "vocab_size": 5,
    },
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_plain_values_are_those_that_pickle_reads(name: str, protocol: int) -> None:
    value = VALUES[name]
    data = pickle.dumps(value, protocol)
    if any(each.name == "GLOBAL" for each, *_ in pickletools.genops(data)):  # bytes in the first protocols
        assert (name, protocol < 3) == ("bytes", True)
        return
    assert repr(read_pickle(data, "a")) == repr(value)


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Harmful(), {"itos": [Harmful()]}, {"a": eval}, range(3), {1, 2}, Harmful])
def test_what_names_a_function_or_a_class_is_refused_and_not_called(
    value: Any, protocol: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^a(: its pickle has the instruction| would call \S+ if it were)"):
        read_pickle(pickle.dumps(value, protocol), "a")
    assert os.listdir() == []


def test_allowed_names_stay_names_and_their_calls_calls() -> None:
    allowed = ("collections.OrderedDict", "builtins.complex", "builtins.range")
    data = pickle.dumps([OrderedDict(a=1), complex(1, 2), range])
    table, number, kind = read_pickle(data, "a", allowed)
    assert (type(table), table) == (dict, {"a": 1})
    assert isinstance(number, Call)
    assert (number.function, number.arguments) == ("builtins.complex", (1.0, 2.0))
    assert isinstance(kind, Name)
    assert kind.name == "builtins.range"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"no pickle",
        b"N",  # no end
        b"NN.",  # two values
        b"a.",  # no list to append to
        b"Nu.",
        b"(u.",
        b"(.",
        b"t.",
        b"h\x07.",  # a value that was never kept
        b"}N(s.",
        b"}]Ns.",  # a list as a key
        b"(KKKd.",
        b"}(K\x01u.",  # a key without a value
        b"NR.",
        b"N)R.",
        b"\x8b\xff\xff\xff\x7f.",  # a number of two billion bytes
        b"\x8a\x09" + b"\x7f" * 9 + b".",  # one of 72 bits
        b"\x8d" + b"\xff" * 8 + b"a.",  # a text of more bytes than any file
        b"I99999999999999999999999\n.",
        b"X\x01\x00\x00\x00\xff.",  # not UTF-8
        b"(" * 1000 + b".",
    ],
    ids=repr,
)
def test_damage_is_one_sentence(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^a is damaged, or is not a pickle\.$"):
        read_pickle(data, "a")


def test_any_damage_to_a_real_one_ends_well() -> None:
    whole = pickle.dumps({"itos": dict(enumerate("abcé")), "stoi": {c: i for i, c in enumerate("abcé")}}, 4)
    choose, messages = random.Random(1), list[str]()
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] = choose.randrange(256)
        try:
            read_pickle(bytes(data[: choose.randrange(1, len(data) + 1)]), "a")
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 2000  # most is seen as damage; a changed character is none
    assert all(len(message.splitlines()) == 1 for message in messages)


def test_the_size_is_limited() -> None:
    with pytest.raises(CheckpointError, match=r"^a: its pickle has 4,194,305 bytes; more than 4,194,304 are not"):
        read_pickle(bytes(LARGEST + 1), "a")
