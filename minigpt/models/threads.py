"""Threads to compute with: how many a decoding step uses, and workers that take a part of a training step each."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from statistics import median_low
from typing import TypeVar

import torch

_TRIAL = 4  # steps that tell how fast a number of threads is
_CLEARLY = 0.9  # of the time of one thread: what all of them must stay below to be worth their cores
_UPSET = 4  # times the usual: another program has taken a core
_PATIENCE = 50  # a lost trial is repeated after so many times as long as it took

T = TypeVar("T")
_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)


@contextmanager
def one_thread_but_for_steps() -> Iterator[None]:
    """Use one thread for torch, but let the steps of a decoder choose up to as many as torch had before."""
    threads = torch.get_num_threads()
    token = _allowed.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _allowed.reset(token)


def step_threads() -> int:
    """The most threads that a step may use."""
    return _allowed.get() or torch.get_num_threads()


class StepThreads(ContextDecorator):
    """Decorates a step to run with one thread or `most`, whichever is faster at the moment; torch's number is restored.

    Threads with a core each halve the time of a step. When another program occupies one of the cores, every product
    waits for the thread without one, and a step takes 40 times as long. Both are tried, and tried again when steps
    become slow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.count, self._most, self._clock = 1, most, clock
        self._times: deque[float] = deque(maxlen=_TRIAL)
        self._usual: dict[int, float] = {}
        self._rest = 0.0  # seconds until the next trial; none is due while all threads are best
        self._trying = most > 1

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != self.count:
            torch.set_num_threads(self.count)
        self._started = self._clock()

    def __exit__(self, *_: object) -> None:
        seconds = self._clock() - self._started
        if self._before != self.count:
            torch.set_num_threads(self._before)
        if self._most > 1:
            self._learn(seconds)

    def _learn(self, seconds: float) -> None:
        self._times.append(seconds)
        self._rest -= seconds
        if self._trying:
            if len(self._times) == _TRIAL or self._is_slower_than(self._usual.get(self._other)):
                self._end_trial()
        elif self._is_slower_than(self._usual[self.count]):
            self._usual[self.count] = seconds
            self._try(self._other)
        elif self.count == 1 and self._rest <= 0:
            self._usual[1] = median_low(self._times)
            self._try(self._most)

    @property
    def _other(self) -> int:
        return self._most + 1 - self.count

    def _is_slower_than(self, usual: float | None) -> bool:
        """Whether it is slower by so much that a few steps are enough to tell."""
        return usual is not None and sum(self._times) > _UPSET * _TRIAL * usual

    def _end_trial(self) -> None:
        self._usual[self.count] = median_low(self._times)
        if self._other not in self._usual:
            self._try(self._other)
            return
        self._trying, self._rest = False, _PATIENCE * sum(self._times)
        self.count = self._most if self._usual[self._most] < _CLEARLY * self._usual[1] else 1
        self._times.clear()

    def _try(self, count: int) -> None:
        self.count, self._trying = count, True
        self._times.clear()


class Workers:
    """Up to `count` tasks at a time, each in a thread of its own, in which torch uses no further threads.

    Python's lock is free while torch or a kernel computes. A thread that is done sleeps, so that its core is free for
    others, unlike those of OpenMP, which keep turning until the last one is done.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(
            max(1, count - 1), "minigpt", initializer=torch.set_num_threads, initargs=(1,)
        )

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all tasks, in order. An error of one is raised when all have ended."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            futures = [self._others.submit(task) for task in tasks[1:]]
            try:
                first = tasks[0]()
            finally:
                wait(futures)
            return [first, *(future.result() for future in futures)]
        finally:
            torch.set_num_threads(threads)
