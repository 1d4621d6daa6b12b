"""How a token is chosen, and how many."""

from dataclasses import dataclass

from minigpt.errors import brief, named
from minigpt.settings.fields import Range, Settings, require, setting
from minigpt.settings.machine import HUGE, MANY, SEED

CHOOSING = "How a token is chosen, in this order"  # the panel
STAGES = ("repetition-penalty", "temperature", "top-k", "top-p", "min-p")  # in the usual order
TABLES = ("live", "every", "none")  # of a sample's distributions
TOP = Range(1, MANY)


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Settings):
    """How a token is chosen. The neutral value of each stage (the second column) leaves it out.

    `stages` are the names of those that are applied, in that order.

    repetition_penalty  1.0   above 1 makes tokens already in the text less likely (Keskar et al., 2019)
    temperature         1.0   below 1 sharpens, above 1 flattens; 0 always takes the most likely token
    top_k               0     keep the k most likely tokens (Fan et al., 2018)
    top_p               1.0   keep the fewest tokens that hold p of the probability (Holtzman et al., 2020)
    min_p               0.0   keep tokens with at least this share of the top token's probability (Nguyen et al., 2024)
    """

    repetition_penalty: float = setting(
        1.0,
        help="Above 1, tokens already in the text become less likely.",
        panel=CHOOSING,
        range=Range(0.001, 1000, both=True),
    )
    temperature: float = setting(
        0.8,
        help="Below 1 bolder, above 1 wilder; 0 takes the top token.",
        panel=CHOOSING,
        range=Range(0, HUGE, least_is="the most likely token"),
    )
    top_k: int = setting(
        0, help="Keep the k most likely tokens; 0 for all.", panel=CHOOSING, range=Range(0, MANY, least_is="off")
    )
    top_p: float = setting(
        0.95,
        help="Keep the fewest tokens that hold this share; 1 for all.",
        panel=CHOOSING,
        range=Range(0, 1, above=True, both=True, most_is="off"),
    )
    min_p: float = setting(
        0.0,
        help="Keep tokens with this share of the top one's; 0 for all.",
        panel=CHOOSING,
        range=Range(0, 1, both=True, least_is="off"),
    )
    stages: tuple[str, ...] = STAGES
    max_tokens: int = setting(200, help="How many tokens at most.", short="-n", range=Range(1, MANY), shows_range=True)
    seed: int = setting(1, range=SEED)
    stop: tuple[str, ...] = setting((), help="End before this text; may be given several times.")
    ignore_end_of_text: bool = setting(False, help="Go on after end-of-text.")
    top: int = setting(
        10, help="How many tokens to list; all others are summed as one row.", range=TOP, shows_range=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_stages(self.stages)
        require(all(self.stop), f"{named('stop')} needs a text that is not empty.")


def _require_stages(names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        require(
            name in STAGES,
            f"{named('stages')}: there is no stage {brief(repr(name))}. The stages are {', '.join(STAGES)}.",
        )
        require(name not in names[:i], f"{named('stages')} names {brief(name)} twice.")
