"""The settings of what a command inspects: a text, and the model that is asked about it."""

from dataclasses import dataclass
from pathlib import Path

from minigpt.settings.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Source(Settings):
    """A text (from the command line, a file or standard input) and a checkpoint."""

    text: str | None = setting(None, argument=True, help="The text to look at; - or nothing reads standard input.")
    file: Path | None = setting(None, help="Take the text from this file, with the newline at its end.")
    checkpoint: Path | None = setting(
        None,
        help="A run of ./checkpoints by name, the folder of a run or of any Hugging Face GPT-2, or a GPT-2 of the Hub "
        "such as openai-community/gpt2. By default the newest run.",
        short="-c",
        variable="MINIGPT_CHECKPOINT",
        completes="model",
    )
