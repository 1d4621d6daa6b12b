"""Repeats a generation from its trace and compares the two, or scores its tokens with another checkpoint."""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import TraceError
from minigpt.models.decoder import decoder_for
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.engine import Piece, generate
from minigpt.sampling.records import (
    Candidate,
    Change,
    Divergence,
    Replay,
    RescoredToken,
    Rescoring,
    SampleEnd,
    StepRecord,
)
from minigpt.sampling.trace import Trace, TraceHeader, TraceStep, Versions

ROUNDING = 1e-3  # a larger difference between probabilities, or in bits, is none of rounding
_SHOWN_BEFORE = 24  # tokens


def redraw(trace: Trace, checkpoint: Checkpoint) -> Iterator[Piece]:
    """Generate again with the settings of `trace`. Raises TraceError if its prompt does not match its prompt's ids."""
    header, tokenizer = trace.header, checkpoint.tokenizer
    if tuple(tokenizer.encode(header.prompt) or [tokenizer.end_of_text]) != header.prompt_ids:
        raise TraceError("The trace is damaged: the ids of its prompt are not those of the prompt's text.")
    return generate(checkpoint.model, tokenizer, header.prompt, header.settings, count=header.num_samples)


def rescore(trace: Trace, checkpoint: Checkpoint) -> Iterator[tuple[TraceStep, str, StepRecord]]:
    """Each step, the text before it, and the step's token as predicted by the model of `checkpoint`, unfiltered.

    The model sees the ids in the same windows as in sampling. In a tree, each branch follows the text that it branches
    from.
    """
    tokenizer, decoder = checkpoint.tokenizer, decoder_for(checkpoint.model)
    for ids, run in _runs(trace):
        for number, step in enumerate(run):
            assert step.record.token is not None
            with torch.inference_mode():
                logits_V = (decoder.step(ids[-1:]) if number else decoder.prefill(ids))[0]
                record = step_record(
                    distribution(logits_V),
                    tokenizer.token_bytes,
                    position=len(ids),
                    top=len(step.record.candidates),
                    token=step.record.token.id,
                    sample=step.record.sample,
                )
            yield step, tokenizer.decode(ids[-_SHOWN_BEFORE:]).lstrip("\ufffd"), record
            ids.append(step.record.token.id)


def _runs(trace: Trace) -> Iterator[tuple[list[int], list[TraceStep]]]:
    """Consecutive steps, with the ids before the first of them; every step is in one run."""
    followers = _followers(trace.steps)
    waiting = [(list(trace.header.prompt_ids), first) for first in reversed(followers[None])]
    while waiting:
        before, index = waiting.pop()
        run, ids = [trace.steps[index]], list(before)
        while next_steps := followers[index]:
            ids.append(_token(trace.steps[index].record).id)
            waiting += [(list(ids), other) for other in reversed(next_steps[1:])]
            index = next_steps[0]
            run.append(trace.steps[index])
        yield before, run


def _followers(steps: Sequence[TraceStep]) -> dict[int | None, list[int]]:
    """The indices of the steps that follow each step; under None, those that follow the prompt."""
    followers: dict[int | None, list[int]] = defaultdict(list)
    nodes: dict[int | None, int] = {}
    last: dict[int, int] = {}  # step of each sample
    for index, step in enumerate(steps):
        before = last.get(step.record.sample) if step.node is None else nodes.get(step.parent)
        followers[before].append(index)
        last[step.record.sample] = index
        if step.node is not None:
            nodes[step.node] = index
    return followers


class ReplayTally:
    """Compares the records of a replay with those of the trace, one by one."""

    def __init__(self, trace: Trace, *, drawn: bool) -> None:
        self._drawn = drawn
        self._expected: dict[int, list[StepRecord]] = defaultdict(list)
        for step in trace.steps:
            self._expected[step.record.sample].append(step.record)
        self._done: dict[int, int] = defaultdict(int)  # steps of each sample
        self._tokens, self._same_numbers = 0, True
        self._prob = self._bits = 0.0
        self.divergence: Divergence | None = None

    def draw(self, record: StepRecord | SampleEnd) -> bool:
        """Compare one more drawn record; returns whether its token is the expected one."""
        done, steps = self._done[record.sample], self._expected[record.sample]
        expected = steps[done] if done < len(steps) else None
        token = record.chosen if isinstance(record, StepRecord) else None
        wanted = None if expected is None else expected.chosen
        if token is None and wanted is None:
            return True
        if token is None or wanted is None or token.id != wanted.id:
            self.divergence = Divergence(sample=record.sample, step=done + 1, expected=wanted, drawn=token)
            return False
        assert expected is not None
        assert isinstance(record, StepRecord)
        self._done[record.sample] += 1
        self.compare(expected, record)
        self._same_numbers &= record == expected
        return True

    def compare(self, expected: StepRecord, record: StepRecord) -> None:
        """Compare the numbers of one token in the trace with those of now."""
        self._tokens += 1
        known = {candidate.id: candidate for candidate in expected.candidates}
        pairs = [(known[c.id], c) for c in record.candidates if c.id in known]
        bits = [
            (_number(expected.surprisal_bits), _number(record.surprisal_bits)),
            (_number(expected.entropy_bits), _number(record.entropy_bits)),
        ]
        self._bits = max(self._bits, *(abs(a - b) for a, b in bits))
        probs = [(a, b) for then, now in pairs for a, b in zip(self._probs(then), self._probs(now), strict=False)]
        self._prob = max(self._prob, *(abs(a - b) for a, b in probs))
        self._same_numbers &= all(a == b for a, b in bits) and all(a.logit == b.logit for a, b in pairs)

    def _probs(self, candidate: Candidate) -> tuple[float, ...]:
        """The probabilities to compare. Steps that were only scored again have no stages."""
        return (candidate.raw_prob, *candidate.after) if self._drawn else (candidate.raw_prob,)

    def result(self, changes: tuple[Change, ...]) -> Replay:
        """The result of the replay."""
        return Replay(
            tokens=self._tokens,
            drawn=self._drawn,
            divergence=self.divergence,
            agrees=self.divergence is None and self._prob <= ROUNDING and self._bits <= ROUNDING,
            same_numbers=self._same_numbers and self._prob == 0,
            largest_difference=self._prob,
            largest_difference_bits=self._bits,
            changes=changes,
        )


def changes(header: TraceHeader, checkpoint: Checkpoint) -> tuple[Change, ...]:
    """Whatever may round the numbers differently than when the trace was made."""
    model = checkpoint.model
    dtype, device = str(model.wte.weight.dtype).removeprefix("torch."), str(model.device)
    threads = str(torch.get_num_threads())
    then = {**asdict(header.versions), "device": header.device, "dtype": header.dtype, "threads": str(header.threads)}
    now = {**asdict(Versions.here()), "device": device, "dtype": dtype, "threads": threads}
    return tuple(Change(name=name, then=then[name], now=now[name]) for name in then if then[name] != now[name])


class RescoringTally:
    """Adds up the surprisals of a trace's tokens under its own model and another one."""

    def __init__(self) -> None:
        self._rows: list[RescoredToken] = []

    def add(self, step: TraceStep, before: str, record: StepRecord) -> None:
        """Add one token, with its record in the trace and that of the other model."""
        then, now = _token(step.record), _token(record)
        self._rows.append(
            RescoredToken(
                id=then.id,
                text=then.text,
                bytes=then.bytes,
                sample=record.sample,
                node=step.node,
                position=record.position,
                before=before,
                surprisal_bits=_number(step.record.surprisal_bits),
                other_surprisal_bits=_number(record.surprisal_bits),
                rank=then.rank,
                other_rank=now.rank,
            )
        )

    def result(self, checkpoint: str, other: str, top: int) -> Rescoring:
        """Totals, and the `top` tokens whose surprisals differ most."""
        rows = self._rows
        return Rescoring(
            checkpoint=checkpoint,
            other_checkpoint=other,
            tokens=len(rows),
            bits_per_token=math.fsum(row.surprisal_bits for row in rows) / len(rows),
            other_bits_per_token=math.fsum(row.other_surprisal_bits for row in rows) / len(rows),
            most_different=tuple(
                heapq.nlargest(top, rows, key=lambda row: abs(row.surprisal_bits - row.other_surprisal_bits))
            ),
        )


def check_tokens(trace: Trace, checkpoint: Checkpoint) -> None:
    """Raise TraceError for the first id of the trace that means other bytes in `checkpoint`, or none."""
    header, tokenizer, vocab_size = trace.header, checkpoint.tokenizer, checkpoint.model.config.vocab_size
    whole = max(header.prompt_ids) < vocab_size and tokenizer.decode(header.prompt_ids) == header.prompt
    if not whole and (header.prompt or header.prompt_ids != (tokenizer.end_of_text,)):
        raise _other_prompt(trace, checkpoint)
    for step in trace.steps:
        wanted = _token(step.record)
        data = tokenizer.token_bytes(wanted.id) if wanted.id < vocab_size else b""
        if data.hex() != wanted.bytes:
            raise _other_token(checkpoint, wanted.id, f"is {_quoted(bytes.fromhex(wanted.bytes))}")


def _other_prompt(trace: Trace, checkpoint: Checkpoint) -> TraceError:
    """The error for the first id that does not continue the prompt's text, or for the last one."""
    rest = trace.header.prompt.encode()
    for token in trace.header.prompt_ids:
        data = checkpoint.tokenizer.token_bytes(token)
        if token >= checkpoint.model.config.vocab_size or not rest.startswith(data):
            break
        rest = rest[len(data) :]
    return _other_token(checkpoint, token, f"stands at {_quoted(rest[:24])} of the prompt")


def _other_token(checkpoint: Checkpoint, token: int, there: str) -> TraceError:
    has = token < checkpoint.model.config.vocab_size
    here = f"{_quoted(checkpoint.tokenizer.token_bytes(token))} in" if has else "none of"
    return TraceError(
        f"Token {token} {there} in the trace, but {here} {checkpoint.path}: another tokenizer, another vocabulary.\n"
        "Only a checkpoint with the same tokens, such as a snapshot of the same run, can score them."
    )


def _quoted(data: bytes) -> str:
    return f"“{data.decode('utf-8', 'backslashreplace')}”"


def _token(record: StepRecord) -> Candidate:
    assert record.chosen is not None, "a trace has a token in every step"
    return record.chosen


def _number(value: float | None) -> float:
    assert value is not None, "a trace has these numbers in every step"
    return value
