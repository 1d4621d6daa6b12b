"""Rejects records from files whose numbers cannot belong to a step."""

import json

from minigpt.errors import brief
from minigpt.records import Misfit
from minigpt.sampling.records import Candidate, StepRecord
from minigpt.text.records import token_text

_ROUNDING = 1e-9  # by which a sum of probabilities may miss 1


def check_id(token: int, vocab_size: int) -> None:
    """Raise Misfit for an id outside a vocabulary of this size."""
    if not 0 <= token < vocab_size:
        raise Misfit(f"there is no token {token} in a vocabulary of {vocab_size:,}")


def check_record(record: StepRecord, vocab_size: int) -> None:
    """Raise Misfit if the numbers of a step contradict each other."""
    if record.chosen is None or record.other is None or record.entropy_bits is None or record.surprisal_bits is None:
        raise Misfit("it has no token with its numbers")
    if record.token not in record.candidates:
        raise Misfit("its token is not among the candidates")
    for candidate in record.candidates:
        _check_candidate(candidate, len(record.stages), vocab_size)
    if len(record.other.after) != len(record.stages):
        raise Misfit(f"other has {len(record.other.after)} probabilities after {len(record.stages)} stages")
    counts = [record.other.count, *(stage.kept for stage in record.stages)]
    if not all(0 <= count <= vocab_size for count in counts):
        raise Misfit(f"it counts tokens that are not from 0 to {vocab_size:,}")
    masses = [stage.mass for stage in record.stages]
    _check_shares([record.other.raw_prob, record.other.prob, *record.other.after, *masses])
    for bits in (record.entropy_bits, record.surprisal_bits):
        if bits < -_ROUNDING:
            raise Misfit(f"an entropy or surprisal is {bits} bits, less than none")


def _check_candidate(candidate: Candidate, stages: int, vocab_size: int) -> None:
    check_id(candidate.id, vocab_size)
    if not 1 <= candidate.rank <= vocab_size:
        raise Misfit(f"a rank is {candidate.rank}, which is not from 1 to {vocab_size:,}")
    if len(candidate.after) != stages:
        raise Misfit(f"a candidate has {len(candidate.after)} probabilities after {stages} stages")
    _check_shares([candidate.raw_prob, candidate.prob, *candidate.after])
    if candidate.text != token_text(_bytes(candidate.bytes)):
        raise Misfit(f"the text and the bytes of token {candidate.id} are not the same")


def _check_shares(shares: list[float]) -> None:
    for share in shares:
        if not 0 <= share <= 1 + _ROUNDING:
            raise Misfit(f"a probability is {share}, which is not from 0 to 1")


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Misfit(f"bytes is {brief(json.dumps(text))}, which is not hexadecimal") from error
