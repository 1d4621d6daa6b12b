"""Threads for torch: workers that take a part of a training step each, and one thread for narrow models."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread in torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Workers:
    """Up to `count` tasks at a time, each in a thread of its own, in which torch uses no further threads.

    Python's lock is free while torch or a kernel computes. A thread that is done sleeps, so that its core is free for
    others, unlike those of OpenMP, which spin until the last one is done.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(
            max(1, count - 1), "minigpt", initializer=torch.set_num_threads, initargs=(1,)
        )

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all tasks, in order. An error of one is raised when all have ended."""
        with one_thread():
            futures = [self._others.submit(task) for task in tasks[1:]]
            try:
                first = tasks[0]()
            finally:
                wait(futures)
            return [first, *(future.result() for future in futures)]
