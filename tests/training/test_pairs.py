"""Training on pairs: the batches, the loss, two ranks, and a run that goes on to the bit."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from minigpt.checkpoint.claim import claim
from minigpt.checkpoint.run_folder import RunFolder
from minigpt.errors import CorpusError
from minigpt.models.encoder_decoder import PADDING
from minigpt.models.kinds import new_model
from minigpt.settings import Choices, ModelConfig, TextFormat, TrainConfig
from minigpt.text.corpus import Corpus
from minigpt.text.pairs import PairIds, read_pairs
from minigpt.text.shards import TokenData
from minigpt.training.loop import Trainer
from minigpt.training.pairs import PairBatch, PairBatches, evaluate_pairs, pair_loss
from minigpt.training.plan import make_plan
from minigpt.training.ranks import Ranks
from minigpt.training.resume import open_run
from minigpt.training.run import build_model, model_card, run, run_info

CPU = torch.device("cpu")
KINDS = ("transformer", "seq2seq", "seq2seq-attention")
END, V = 12, 13
SETTINGS = TrainConfig(steps=12, eval_every=4, warmup_steps=2, optimizer="adamw", precision="float32", batch_size=16)


def config_of(kind: str, width: int = 16) -> ModelConfig:
    return ModelConfig(
        model=kind, vocab_size=V, context=8, layers=1, heads=2 if kind == "transformer" else 1, width=width, end=END
    )


def reversals(count: int = 203, longest: int = 6) -> np.ndarray:
    """Ids of random digits and the same backwards."""
    random = np.random.default_rng(0)
    rows = [random.integers(0, END, random.integers(1, longest + 1)) for _ in range(count)]
    ids = [part for row in rows for part in (row, [END], row[::-1], [END])]
    return np.concatenate(ids).astype(np.uint16)[:-1]  # the last target without its END


@pytest.fixture(scope="module")
def pairs() -> PairIds:
    return PairIds.of(reversals(), END)


def rows_of(batch: PairBatch) -> list[tuple[list[int], list[int]]]:
    unpadded = [[[i for i in row if i != PADDING] for row in part.tolist()] for part in (batch.source, batch.targets)]
    return [(source, target) for source, target in zip(*unpadded, strict=True)]


# --- batches


def test_a_batch_is_the_sources_and_the_targets_shifted_by_one(pairs: PairIds) -> None:
    batch = PairBatch.of(pairs, np.array([3, 0, 5]), CPU)
    for row, number in enumerate((3, 0, 5)):
        source, target = pairs.source(number).tolist(), pairs.target(number).tolist()
        rest = [PADDING] * (batch.source.size(1) - len(source)), [PADDING] * (batch.targets.size(1) - len(target))
        assert batch.source[row].tolist() == source + rest[0]
        assert batch.targets[row].tolist() == target + rest[1]
        assert batch.inputs[row].tolist() == [END, *target[:-1], *rest[1]]
    assert batch.divisor == int((batch.targets != PADDING).sum())
    assert batch.source.size(1) == max(len(pairs.source(number)) for number in (3, 0, 5))


def test_every_pair_comes_once_an_epoch_and_the_last_batch_is_filled_up(pairs: PairIds) -> None:
    batches = PairBatches(pairs, SETTINGS, CPU)
    seen = [row for step in range(1, 14) for row in rows_of(batches.of(step)[0])]
    wanted = [(pairs.source(i).tolist(), pairs.target(i).tolist()) for i in range(len(pairs))]
    assert len(seen) == 13 * 16
    for row in seen:
        if row in wanted:
            wanted.remove(row)
    assert wanted == []


def test_batches_depend_on_the_seed_and_the_step_alone(pairs: PairIds) -> None:
    one, other = (PairBatches(pairs, SETTINGS, CPU) for _ in range(2))
    for step in (1, 30, 2, 14, 13):
        assert rows_of(one.of(step)[0]) == rows_of(other.of(step)[0])
    for step in (2, 14, 1, 13):
        assert rows_of(one.of(step)[0]) == rows_of(PairBatches(pairs, SETTINGS, CPU).of(step)[0])
    first = [
        [rows_of(b) for b in PairBatches(pairs, TrainConfig(batch_size=16, seed=seed), CPU).of(1)] for seed in (1, 2)
    ]
    assert first[0] != first[1]


def test_accumulated_batches_follow_each_other(pairs: PairIds) -> None:
    alone, three = (PairBatches(pairs, TrainConfig(batch_size=16, accumulation=n), CPU) for n in (1, 3))
    assert [rows_of(b) for b in three.of(2)] == [rows_of(alone.of(step)[0]) for step in (4, 5, 6)]


def test_a_batch_has_little_padding() -> None:
    pairs = PairIds.of(reversals(2000), END)
    batches = PairBatches(pairs, SETTINGS, CPU)
    padded = [batches.of(step)[0].source for step in range(1, 126)]
    share = sum(int((each == PADDING).sum()) for each in padded) / sum(each.numel() for each in padded)
    assert share < 0.05  # 35 % where pairs are not sorted by length


class Second(Ranks):
    rank, size = 1, 2


class First(Ranks):
    rank, size = 0, 2


def test_ranks_share_a_batch(pairs: PairIds) -> None:
    numbers = np.arange(8)
    whole, *parts = (PairBatch.of(pairs, numbers, CPU, ranks) for ranks in (Ranks(), First(), Second()))
    assert [row for part in parts for row in rows_of(part)] == rows_of(whole)
    assert [part.divisor for part in parts] == [whole.divisor / 2] * 2


# --- the loss


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_two_ranks_losses_and_gradients_is_that_of_one(kind: str, pairs: PairIds) -> None:
    model = new_model(config_of(kind)).initialise(torch.Generator().manual_seed(1))
    results = []
    for together in ((Ranks(),), (First(), Second())):
        losses = [pair_loss(model, CPU, SETTINGS)(*PairBatch.of(pairs, np.arange(8), CPU, ranks)) for ranks in together]
        loss = sum(losses) / len(losses)
        results.append((loss, torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])))
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_the_tokens_of_targets(kind: str, pairs: PairIds) -> None:
    model = new_model(config_of(kind)).initialise(torch.Generator().manual_seed(1)).eval()
    nats = []
    for number in range(len(pairs)):
        source, target = (torch.from_numpy(each) for each in (pairs.source(number), pairs.target(number)))
        with torch.no_grad():
            logits = model(torch.cat([source, target[:-1]])[None])[0, len(source) - 1 :]
        nats += F.cross_entropy(logits, target, reduction="none").tolist()
    found = evaluate_pairs(model, pairs, np.full(V, 2))
    assert found is not None
    assert found.tokens == len(nats)
    assert found.loss_nats == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(found.loss_nats / np.log(2) / 2, rel=1e-6)
    assert evaluate_pairs(model, pairs, np.full(V, 2), stopped=lambda: True) is None


@pytest.mark.parametrize("kind", KINDS)
def test_training_teaches_to_reverse(kind: str) -> None:
    ids = reversals(600, longest=3)
    settings = TrainConfig(
        steps=150,
        batch_size=32,
        warmup_steps=5,
        optimizer="adamw",
        learning_rate=1e-2,
        precision="float32",
        eval_every=150,
    )
    model = new_model(config_of(kind, 32)).initialise(torch.Generator().manual_seed(1))
    records = list(Trainer(model, TokenData(ids, ids[:400]), settings, np.ones(V, np.int64)).records())
    assert records[0].validation_loss_nats is not None
    assert records[-1].validation_loss_nats is not None
    assert records[0].validation_loss_nats > 2
    assert records[-1].validation_loss_nats < 0.6 * records[0].validation_loss_nats
    assert records[-1].tokens == 150 * round(32 * (len(ids) + 1) / 600)


# --- runs


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = [random.choice(["red", "cat", "sat", "on", "mat"], random.integers(1, 6)) for _ in range(120)]
    Path("notes.tsv").write_text("".join(f"{' '.join(row)}\t{' '.join(row[::-1])}\n" for row in rows))
    return read_pairs(["notes.tsv"], TextFormat())


def choices_of(kind: str, **more: int) -> Choices:
    return Choices(
        model=kind, layers=1, width=16, batch_size=8, vocab_size=300, learning_rate=1e-2, dropout=0.2, **more
    )


def begin(text: Corpus, name: str, kind: str, stopped: Callable[[], bool] = lambda: False) -> Path:
    choices = choices_of(kind)
    plan = make_plan(text, None, choices, TrainConfig(steps=12, eval_every=4, warmup_steps=2))
    model = build_model(plan, CPU)
    folder = RunFolder(claim("", Path(name), overwrite=False), plan.tokenizer, run_info(plan, choices, CPU))
    folder.start(model, model_card(plan), plan.data)
    list(run(plan, model, folder, stopped))
    return folder.path


def log(path: Path) -> Iterator[dict[str, object]]:
    for line in (path / "train.jsonl").read_text().splitlines():
        yield {k: v for k, v in json.loads(line).items() if k not in ("seconds", "tokens_per_second")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("questions", [1, 7, 13])
def test_a_stopped_run_goes_on_to_the_bit(
    text: Corpus, kind: str, questions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An LSTM in torch's own operations: by oneDNN on AVX2, its last bits depend on where its tensors lie in memory."""
    if kind != "transformer":
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    whole = begin(text, "whole", kind)
    parts = begin(text, "parts", kind, chain(repeat(False, questions), repeat(True)).__next__)
    assert len(list(log(parts))) < len(list(log(whole))) if (parts / "train.jsonl").exists() else questions < 2
    plan, folder = open_run(parts, {}, None)
    list(run(plan, build_model(plan, CPU), folder, lambda: False, resume=True))
    assert list(log(whole)) == list(log(parts))
    for file in ("model.safetensors", "resume/state.safetensors"):
        left, right = load_file(whole / file), load_file(parts / file)
        assert left.keys() == right.keys()
        assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_pairs_that_are_too_long_are_left_out_counted_and_told(text: Corpus) -> None:
    Path("long.tsv").write_text(Path("notes.tsv").read_text() + f"{'cat ' * 90}\tmany\n", "utf-8")
    plan = make_plan(read_pairs(["long.tsv"], TextFormat()), None, choices_of("seq2seq", context=40), SETTINGS)
    assert any("1 of 121 pairs has more than 40 tokens on a side and is left out" in note for note in plan.notes)
    assert plan.model.context == 40


def test_all_too_long_is_one_clear_error(text: Corpus) -> None:
    with pytest.raises(
        CorpusError, match=re.escape("notes.tsv has no pair to train on of which both sides have at most 1 tokens")
    ):
        make_plan(text, None, choices_of("seq2seq", context=1), SETTINGS)


def test_the_context_fits_all_pairs(text: Corpus) -> None:
    plan = make_plan(text, None, choices_of("seq2seq"), SETTINGS)
    assert plan.model.context == 64
    assert plan.model.end == plan.tokenizer.end_of_text == plan.model.vocab_size - 1
    assert not any("left out" in note for note in plan.notes)
