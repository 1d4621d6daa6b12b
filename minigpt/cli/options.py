"""The flags that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

from minigpt.cli.completion import complete_model
from minigpt.cli.environment import VARIABLES
from minigpt.config import RANGES

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        "-c",
        help="A run's folder, any Hugging Face GPT-2 folder, or a GPT-2 of the Hub such as openai-community/gpt2. By "
        "default the newest run in ./checkpoints.",
        show_default=False,
        envvar=VARIABLES["checkpoint"],
        autocompletion=complete_model,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", envvar=VARIABLES["device"])]
Threads = Annotated[
    int | None,
    typer.Option(
        min=RANGES["threads"].least,
        max=RANGES["threads"].most,
        help="CPU threads. By default all cores.",
        show_default=False,
        envvar=VARIABLES["threads"],
    ),
]
Dtype = Annotated[str, typer.Option(help="float32, or bfloat16: half of the memory, and faster for large models.")]
Quantize = Annotated[
    str, typer.Option(help="none, or int8: products in 8 bits on a CPU, the fastest for large models, and a bit worse.")
]
Top = Annotated[
    int, typer.Option(min=RANGES["top"].least, help="How many tokens to list; all others are summed as one row.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress on standard error.")]
Boundary = Annotated[
    bool, typer.Option("--boundary", help="Show too how the end of the prompt could be cut differently.")
]

# How a token is chosen; the order is that of the stages.

CHOOSING = "How a token is chosen, in this order"
RepetitionPenalty = Annotated[
    float, typer.Option(help="Above 1, tokens already in the text become less likely.", rich_help_panel=CHOOSING)
]
Temperature = Annotated[
    float, typer.Option(help="Below 1 bolder, above 1 wilder; 0 takes the top token.", rich_help_panel=CHOOSING)
]
TopK = Annotated[int, typer.Option(help="Keep the k most likely tokens; 0 for all.", rich_help_panel=CHOOSING)]
TopP = Annotated[
    float, typer.Option(help="Keep the fewest tokens that hold this share; 1 for all.", rich_help_panel=CHOOSING)
]
MinP = Annotated[
    float, typer.Option(help="Keep tokens with this share of the top one's; 0 for all.", rich_help_panel=CHOOSING)
]
