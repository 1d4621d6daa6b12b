"""What `minigpt sample --beam` does, without a terminal: it opens a model of pairs and searches for targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minigpt.app.opening import given_text, open_checkpoint
from minigpt.checkpoint.folder import Checkpoint
from minigpt.errors import named
from minigpt.models.decoder import decoder_for, decoding_threads
from minigpt.sampling.beam import beam_search
from minigpt.sampling.records import BeamTarget
from minigpt.settings import Drawing, Machine, SampleSource, require, settings_of
from minigpt.settings.model import NAMES
from minigpt.text.losses import prompt_notes

_GO_WITH_BEAM = {
    "beam",
    "max_tokens",
    "json",
    "raw",
    "quiet",
    "config",
    *settings_of(SampleSource),
    *settings_of(Machine),
}


@dataclass(frozen=True)
class BeamRun:
    """A source, a model of pairs, and the targets that a search found, the best first."""

    checkpoint: Checkpoint
    text: str
    width: int
    targets: tuple[BeamTarget, ...]

    @classmethod
    def search(cls, source: SampleSource, drawing: Drawing, machine: Machine, given: Mapping[str, Any]) -> "BeamRun":
        """Load the checkpoint and search. Raises ConfigError for a `given` setting without use, or another model."""
        other = next((name for name in given if name not in _GO_WITH_BEAM), "")
        require(
            not other,
            f"{named('beam')} draws nothing and shows only the targets that it found: leave out {named(other)}.",
        )
        assert drawing.beam is not None
        text = given_text(source.prompt, source.file)
        loaded = open_checkpoint(source.checkpoint, machine, reading=source)
        config, tokenizer = loaded.model.config, loaded.tokenizer
        require(
            config.reads_pairs,
            f"{named('beam')} is for models of pairs, and this is {NAMES[config.model]}: {named('num_samples')} draws "
            "several texts.",
        )
        require(bool(text.strip()), f"{named('beam')} needs a source.")
        ids, end = tokenizer.encode_prompt(text).ids, tokenizer.end_of_text
        with decoding_threads(loaded.model):
            found = beam_search(
                decoder_for(loaded.model), ids, end, drawing.beam, min(drawing.max_tokens, config.context)
            )
        targets = tuple(
            BeamTarget(
                rank=rank,
                text=tokenizer.decode([id for id in each.ids if id != end]),
                tokens=len(each.ids),
                log_prob_nats=each.log_prob_nats,
                log_prob_nats_per_token=each.score,
                stopped_by=each.stopped_by,
            )
            for rank, each in enumerate(found, start=1)
        )
        return cls(loaded, text, drawing.beam, targets)

    @property
    def prompt_notes(self) -> list[str]:
        """Sentences about parts of the source that the model reads in another way than one might expect."""
        return prompt_notes(self.checkpoint.tokenizer, self.text)
