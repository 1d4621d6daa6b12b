"""Repeats a generation from its trace and compares the two, or scores its tokens with another checkpoint."""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import CorpusError, TraceError
from minigpt.models.decoder import decoder_for, decoding_threads
from minigpt.sampling import philox
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.engine import generate
from minigpt.sampling.records import Divergence, Replay, RescoredToken, Rescoring, SampleEnd, StepRecord
from minigpt.sampling.trace import Trace, TraceHeader, TraceStep
from minigpt.text.tokenizer import Tokenizer

T = TypeVar("T")
Advance = Callable[[int], None]  # called with the number of further tokens done

ROUNDING = 1e-3  # a larger difference between probabilities, or in bits, is not due to rounding
_SHOWN_BEFORE = 24  # tokens


def repeat(trace: Trace, checkpoint: Checkpoint, advance: Advance = lambda tokens: None) -> tuple[Replay, list[str]]:
    """The result of drawing a trace's samples again, and their texts.

    Tokens that another generator drew are taken as they were recorded, and all their numbers computed again. The tokens
    of a tree, which a person may have chosen, are only scored again; there is no text. Raises TraceError if the prompt
    or its ids do not match.
    """
    sampled = trace.header.made_by == "sample"
    drawn = sampled and trace.header.generator == philox.NAME
    differences, divergence, texts = _Differences(), None, list[str]()
    if not drawn:
        check_tokens(trace, checkpoint)
    with decoding_threads(checkpoint.model):
        if sampled:
            divergence, texts = _repeat(trace, checkpoint, differences, advance, drawn)
        else:
            for step, _, record in rescore(trace, checkpoint):
                differences.add(step.record, record)
                advance(1)
    result = Replay(
        tokens=differences.tokens,
        drawn=drawn,
        divergence=divergence,
        agrees=divergence is None and max(differences.prob, differences.bits) <= ROUNDING,
        same_numbers=not differences.any,
        largest_difference=differences.prob,
        largest_difference_bits=differences.bits,
        changes=trace.header.changes(checkpoint.model),
    )
    return result, texts


def _repeat(
    trace: Trace, checkpoint: Checkpoint, differences: "_Differences", advance: Advance, drawn: bool
) -> tuple[Divergence | None, list[str]]:
    """Generate again until a token differs; returns that place, or else all texts. If not `drawn`, by recorded ids."""
    header, tokenizer = trace.header, _as_read(trace.header, checkpoint.tokenizer)
    if tokenizer is None:
        raise TraceError("The trace is damaged: the ids of its prompt are not those of the prompt's text.")
    expected, texts = defaultdict[int, deque[StepRecord]](deque), dict[int, str]()
    for step in trace.steps:
        expected[step.record.sample].append(step.record)
    done = Counter[int]()  # steps of each sample
    ids = {sample: [_known(step.token).id for step in steps] for sample, steps in expected.items() if not drawn}
    pieces = generate(
        checkpoint.model, tokenizer, header.prompt, header.settings, count=header.num_samples, recorded=ids
    )
    for piece in pieces:
        record, steps = piece.record, expected[piece.record.sample]
        then = steps.popleft() if steps else None
        if isinstance(record, StepRecord) and then and _known(record.token).id == _known(then.token).id:
            differences.add(then, record)
            differences.any |= record != then
            done[record.sample] += 1
            advance(1)
        elif isinstance(record, SampleEnd) and then is None:
            texts[record.sample] = record.text
        else:
            number, now = done[record.sample] + 1, record.chosen if isinstance(record, StepRecord) else None
            expected_token = then.chosen if then else None
            return Divergence(sample=record.sample, step=number, expected=expected_token, drawn=now), []
    return None, [texts[sample] for sample in sorted(texts)]


def _as_read(header: TraceHeader, tokenizer: Tokenizer) -> Tokenizer | None:
    """`tokenizer`, reading the prompt as it was read for the trace; None if it cannot."""
    for reading in tokenizer.readings():
        with suppress(CorpusError):  # there is no token for any of it
            if tuple(reading.encode_prompt(header.prompt).ids) == header.prompt_ids:
                return reading
    return None


def rescored(trace: Trace, checkpoint: Checkpoint, top: int, advance: Advance = lambda tokens: None) -> Rescoring:
    """The tokens of a trace scored by another checkpoint, with the `top` ones whose surprisals differ most.

    Raises TraceError if its tokens are not those of the trace.
    """
    check_tokens(trace, checkpoint)
    rows = []
    with decoding_threads(checkpoint.model):
        for step, before, record in rescore(trace, checkpoint):
            rows.append(_rescored_token(step, before, record))
            advance(1)
    return Rescoring(
        checkpoint=trace.header.checkpoint,
        other_checkpoint=str(checkpoint.path),
        tokens=len(rows),
        bits_per_token=math.fsum(row.surprisal_bits for row in rows) / len(rows),
        other_bits_per_token=math.fsum(row.other_surprisal_bits for row in rows) / len(rows),
        most_different=tuple(sorted(rows, key=lambda row: -abs(row.surprisal_bits - row.other_surprisal_bits))[:top]),
    )


def _rescored_token(step: TraceStep, before: str, record: StepRecord) -> RescoredToken:
    then, now = _known(step.record.chosen), _known(record.chosen)
    return RescoredToken(
        id=then.id,
        text=then.text,
        bytes=then.bytes,
        sample=record.sample,
        node=step.node,
        position=record.position,
        before=before,
        surprisal_bits=_known(step.record.surprisal_bits),
        other_surprisal_bits=_known(record.surprisal_bits),
        rank=then.rank,
        other_rank=now.rank,
    )


def rescore(trace: Trace, checkpoint: Checkpoint) -> Iterator[tuple[TraceStep, str, StepRecord]]:
    """Each step, the text before it, and the step's token as predicted by the model of `checkpoint`, unfiltered.

    The samples come one after the other. The model sees the ids in the same windows as in sampling; in a tree, each
    branch follows the text that it branches from.
    """
    tokenizer, decoder = checkpoint.tokenizer, decoder_for(checkpoint.model)
    ids: list[int] = []
    last: TraceStep | None = None
    for step in sorted(trace.steps, key=lambda step: step.record.sample):
        continues = last is not None and step.before is last
        ids = [*trace.header.prompt_ids, *_tokens_before(step)] if not continues else ids
        token = _known(step.record.token).id
        logits_V = (decoder.step(ids[-1:]) if continues else decoder.prefill(ids))[0]
        record = step_record(
            distribution(logits_V),
            tokenizer.token_bytes,
            position=len(ids),
            top=len(step.record.candidates),
            token=token,
            sample=step.record.sample,
        )
        yield step, tokenizer.decode(ids[-_SHOWN_BEFORE:]).lstrip("\ufffd"), record
        ids.append(token)
        last = step


def _tokens_before(step: TraceStep) -> list[int]:
    """The ids of the steps that lead to this one."""
    tokens = []
    while step.before is not None:
        step = step.before
        tokens.append(_known(step.record.token).id)
    return tokens[::-1]


@dataclass
class _Differences:
    """How far the numbers of a replay are from those of its trace."""

    tokens: int = 0
    any: bool = False
    prob: float = 0.0  # the largest
    bits: float = 0.0

    def add(self, then: StepRecord, now: StepRecord) -> None:
        """Compare the numbers of one token. A step that was only scored again has no stages."""
        known = {candidate.id: candidate for candidate in then.candidates}
        pairs = [(known[candidate.id], candidate) for candidate in now.candidates if candidate.id in known]
        probs = [
            abs(a - b)
            for old, new in pairs
            for a, b in zip((old.raw_prob, *old.after), (new.raw_prob, *new.after), strict=False)
        ]
        surprisals = _known(then.surprisal_bits), _known(now.surprisal_bits)
        entropies = _known(then.entropy_bits), _known(now.entropy_bits)
        bits = [abs(a - b) for a, b in (surprisals, entropies)]
        self.tokens += 1
        self.prob, self.bits = max(self.prob, *probs), max(self.bits, *bits)
        self.any |= any(probs) or any(bits) or any(old.logit != new.logit for old, new in pairs)


def check_tokens(trace: Trace, checkpoint: Checkpoint) -> None:
    """Raise TraceError for the first id of the trace that is another token in `checkpoint`, or none."""
    header, tokenizer, vocab_size = trace.header, checkpoint.tokenizer, checkpoint.model.config.vocab_size
    same = tokenizer.decode(header.prompt_ids) == header.prompt or _as_read(header, tokenizer)
    if not same or max(header.prompt_ids) >= vocab_size:
        raise _other_prompt(trace, checkpoint)
    for step in trace.steps:
        expected = _known(step.record.token)
        data = tokenizer.token_bytes(expected.id) if expected.id < vocab_size else b""
        if data.hex() != expected.bytes:
            raise _other_token(checkpoint, expected.id, f"is {_quoted(bytes.fromhex(expected.bytes))}")


def _other_prompt(trace: Trace, checkpoint: Checkpoint) -> TraceError:
    """The error for the first id that does not continue the prompt's text, or for the last one."""
    rest = trace.header.prompt.encode()
    for token in trace.header.prompt_ids:
        data = checkpoint.tokenizer.token_bytes(token)
        if token >= checkpoint.model.config.vocab_size or not rest.startswith(data):
            break
        rest = rest[len(data) :]
    return _other_token(checkpoint, token, f"begins {_quoted(rest[:24])} of the prompt")


def _other_token(checkpoint: Checkpoint, token: int, there: str) -> TraceError:
    exists = token < checkpoint.model.config.vocab_size
    here = f"is {_quoted(checkpoint.tokenizer.token_bytes(token))}" if exists else "does not exist"
    return TraceError(
        f"Token {token} {there} in the trace, but {here} in {checkpoint.path}: their vocabularies differ.\n"
        "Only a checkpoint with the same tokens, such as a snapshot of the same run, can score them."
    )


def _quoted(data: bytes) -> str:
    return f"“{data.decode('utf-8', 'backslashreplace')}”"


def _known(value: T | None) -> T:
    assert value is not None, "every step of a trace has a token with its numbers"
    return value
