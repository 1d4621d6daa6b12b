"""The flags that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        "-c",
        help="A run's folder, or any Hugging Face GPT-2 folder. By default the newest run in ./checkpoints.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="CPU threads. By default all cores.", show_default=False)
]
Top = Annotated[int, typer.Option(min=1, help="How many tokens to list; all others are summed as one row.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress on standard error.")]
Boundary = Annotated[
    bool, typer.Option("--boundary", help="Show too how the end of the prompt could be cut differently.")
]
