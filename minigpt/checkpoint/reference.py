"""Loads the token ids of the text given as --corpus, with which a model's answers are compared."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.listing import first_and_more
from minigpt.checkpoint.runs import RESUME, RUN, TOKENS, find_run, near_run, read_run_info, run_of
from minigpt.errors import CheckpointError, CorpusError, MinigptError, escaped, named
from minigpt.settings import TextFormat, build, require
from minigpt.text.blocks import Stages, no_progress
from minigpt.text.corpus import Corpus, Split, builtin_corpus, read_corpus
from minigpt.text.records import CorpusText
from minigpt.text.shards import Ids, TokenData, cached_tokens, open_shards, read_manifest
from minigpt.text.tokenizer import Tokenizer

OWN = "run"  # the text that the checkpoint itself learned from
BUILTIN = "builtin"  # Python's own language reference


@dataclass(frozen=True)
class Reference:
    """A text as the ids of one tokenizer. A note mentions anything unexpected."""

    text: CorpusText
    ids: Ids
    bytes_per_token: float
    note: str = ""


def find_reference(
    specs: Sequence[str], checkpoint: Checkpoint, progress: Stages = lambda name, total: no_progress
) -> Reference:
    """The text that `specs` name, as ids of the checkpoint's tokenizer: `run`, a run's folder, `builtin`, or files.

    For a run it is the training text alone, because the model did not learn from the validation text; otherwise it is
    the whole text. Raises ConfigError for a mixture, CorpusError, CheckpointError and OutputError.
    """
    require("-" not in specs, f"{named('corpus')} takes no standard input: give a file.")
    runs = [spec for spec in specs if spec == OWN or (_run(spec) / RUN).is_file()]
    if not runs:
        require(BUILTIN not in specs or len(specs) == 1, f"{named('corpus', BUILTIN)} cannot be combined.")
        corpus = builtin_corpus() if BUILTIN in specs else _read(specs, progress)
        skipped = [f"skipped what is not text, such as {corpus.skipped[0]}."] if corpus.skipped else []
        note = " ".join([*skipped, *corpus.notes])
        return _reference(_name(corpus), "whole text", _tokens(corpus, 0.0, checkpoint.tokenizer, progress), note)
    require(len(specs) == 1, f"{named('corpus', escaped(runs[0]))} is a run, which cannot be combined.")
    run = run_of(checkpoint.path) if runs[0] == OWN else _run(runs[0])
    if run is None:
        raise CheckpointError(
            f"{escaped(str(checkpoint.path))} is not a run of minigpt ({RUN} is missing), so it does not say what it "
            f"learned from.\nGive the text: {named('corpus', 'FILE')}"
        )
    return _of_run(run, checkpoint.tokenizer, progress)


def _run(spec: str) -> Path:
    """The run that the specs name, unless a file has that name."""
    return Path(spec) if Path(spec).is_file() else find_run(spec)


def _of_run(run: Path, tokenizer: Tokenizer, progress: Stages) -> Reference:
    """The ids stored with the run, or else its text, read again."""
    name = escaped(str(run))
    try:
        made_from = read_manifest(run / RESUME / TOKENS).made_from
        if made_from.get("tokenizer_sha256") == hashlib.sha256(tokenizer.to_json().encode()).hexdigest():
            return _reference(name, "training text", open_shards(run / RESUME / TOKENS))
        reason = "keeps tokens of another tokenizer"
    except CheckpointError:  # gone, damaged, or of another version
        reason = "keeps no tokens"
    corpus, fraction = _read_again(run, f"{name} {reason}", progress)
    data = _tokens(corpus, fraction, tokenizer, progress)
    return _reference(name, "training text", data, f"{name} {reason}; its text, which is unchanged, was read again.")


def _read_again(run: Path, problem: str, progress: Stages) -> tuple[Corpus, float]:
    """The training text of a run and the share held out for validation. Raises CorpusError if the text is gone."""
    info = read_run_info(run / RUN)
    advice = f"Give the text that it learned from: {named('corpus', 'FILE')}"
    if info.text is None or not info.corpus.sources:
        raise CheckpointError(f"{escaped(str(run / RUN))} does not say what the run learned from.\n{advice}")
    specs, sources = info.text.corpus, [source.sha256 for source in info.corpus.sources]
    fraction = 0.0 if info.text.val else info.choices.val_fraction
    if "-" in specs:
        raise CorpusError(f"{problem}, and its text came from standard input.\n{advice}")
    try:
        corpus = _read(specs, progress, build(TextFormat, asdict(info.text)))
    except MinigptError as error:
        raise CorpusError(
            f"{problem}, and its text cannot be read: {error.message.splitlines()[0]}\n{advice}"
        ) from error
    if [source.sha256 for source in corpus.sources] != sources:
        if not specs:
            advice = f"Each version of Python has its own; this one's, all of it, is {named('corpus', BUILTIN)}"
        raise CorpusError(f"{problem}, and {_name(corpus)} is not what it was.\n{advice}")
    return corpus, fraction


def _read(specs: Sequence[str], progress: Stages, how: TextFormat = TextFormat()) -> Corpus:
    try:
        return read_corpus(specs, how, progress=progress("reading", None), to_learn=False)
    except CorpusError as error:
        missing = next((spec for spec in specs if not os.path.exists(spec)), "")
        raise CorpusError(f"{error.message}{near_run(missing)}") from error


def _tokens(corpus: Corpus, fraction: float, tokenizer: Tokenizer, progress: Stages) -> TokenData:
    split = Split(corpus, fraction=fraction)
    return cached_tokens(tokenizer, split, progress("tokenizing", split.characters))


def _name(corpus: Corpus) -> str:
    return first_and_more([source.name for source in corpus.sources])


def _reference(name: str, part: str, data: TokenData, note: str = "") -> Reference:
    tokens = len(data.train)
    return Reference(
        CorpusText(name=name, part=part, tokens=tokens), data.train, data.train_bytes / max(1, tokens), note
    )
