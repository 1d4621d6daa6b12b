"""What `minigpt compare` does before it measures: it begins a comparison, or opens one that was stopped."""

from dataclasses import replace
from pathlib import Path

import torch

from minigpt.app.opening import use_device
from minigpt.checkpoint.claim import Scratch
from minigpt.checkpoint.runs import find_run
from minigpt.contest.ablation import Ablation, ablation_of
from minigpt.contest.comparison import (
    begin,
    check_new,
    claim_comparison,
    machine_name,
    newest_comparison,
    open_comparison,
    save_new,
)
from minigpt.contest.contest import Contest
from minigpt.contest.records import Comparison
from minigpt.contest.translation import PairContest
from minigpt.errors import named
from minigpt.settings import ContestSettings, CorpusSettings, Machine, require
from minigpt.text.blocks import Stages
from minigpt.text.corpus import read_corpus
from minigpt.text.pairs import read_pairs
from minigpt.training.plan import Plan


def new_contest(text: CorpusSettings, wanted: ContestSettings, machine: Machine, stages: Stages) -> Contest:
    """Begin a comparison in a new folder."""
    check_new(wanted.out)  # before all the work
    device = use_device(machine.device, machine.threads)
    with Scratch(wanted.out) as scratch:
        reading = read_pairs if wanted.pairs else read_corpus
        corpus = reading(text.corpus, text, progress=stages("reading", None))
        comparison, plan = begin(corpus, wanted, device, scratch, stages)
        if wanted.ablate:
            comparison = ablation_of(comparison, plan)
        folder = claim_comparison(corpus.name, wanted.out)
        save_new(folder, comparison, plan)
    return _contest(folder, comparison, plan, device, machine)


def reopened_contest(run: str, minutes: float | None, machine: Machine) -> Contest:
    """Continue the comparison in the folder `run`, or the `latest`.

    Other `minutes` are possible only until a training has been planned for them.
    """
    device = use_device(machine.device, machine.threads)
    folder = newest_comparison() if run == "latest" else find_run(run)
    comparison, plan = open_comparison(folder)
    here = machine_name(device)
    require(
        comparison.finished or comparison.machine == here,
        f"{folder} was begun on {comparison.machine}, and this is {here}: speeds of two machines cannot be compared. "
        f"Continue where it was begun, or with its {named('device')} and {named('threads')}.",
    )
    if minutes is not None:
        require(
            not comparison.planned,
            f"{named('resume')} keeps the {named('minutes')} that its trainings were planned for: leave them out.",
        )
        comparison = replace(comparison, minutes=minutes)
    return _contest(folder, comparison, plan, device, machine)


def _contest(folder: Path, comparison: Comparison, plan: Plan, device: torch.device, machine: Machine) -> Contest:
    kind = PairContest if comparison.pairs else Ablation if comparison.ablation else Contest
    contest = kind(folder, comparison, plan, device)
    contest.again += "" if machine.device == "auto" else f" {named('device', machine.device)}"
    contest.again += "" if machine.threads is None else f" {named('threads', machine.threads)}"
    return contest
