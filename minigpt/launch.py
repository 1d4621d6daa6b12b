"""Which of several processes this one is, as torchrun started them."""

import os


def launched_rank() -> int | None:
    """The rank that torchrun gave to this process; None if torchrun did not start it."""
    return int(os.environ["RANK"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else None
