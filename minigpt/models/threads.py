"""How many threads a pass of a NativeGPT uses: as many as are faster at the moment than one."""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from statistics import median_low

_TRIAL = 4  # steps that tell how fast a number of threads is
_AWAKE = 0.01  # seconds until the system has given each of the threads a core of its own
_CLEARLY = 0.9  # of the time of one thread: what all of them must stay below to be worth their cores
_UPSET = 4  # times the usual: another program has taken a core
_PATIENCE = 50  # a lost trial is repeated after so many times as long as it took

_given: list[int] = []  # the number that was asked for, if any


def use_threads(count: int) -> None:
    """Use up to `count` threads from now on, in torch too if it is loaded."""
    _given[:] = [count]
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def most_threads() -> int:
    """The most threads to use: what was asked for, else as many as torch uses if it is loaded, else one per core."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    if _given:
        return _given[0]
    asked = os.environ.get("OMP_NUM_THREADS", "")
    # Each thread has memory of its own: a number of four digits is taken for none.
    return int(asked) if re.fullmatch(r"0*[1-9]\d{0,2}", asked, re.ASCII) else available_cores()


def available_cores() -> int:
    """The cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class StepThreads:
    """Chooses one thread or `most` for each step, whichever is faster at the moment: `with step_threads as count:`.

    Threads with a core each halve the time of a step. When another program occupies one of the cores, every product
    waits for the thread without one, and a step takes 40 times as long. Both are tried, and tried again when steps
    become slow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.count, self.most, self._clock = 1, most, clock
        self._times: deque[float] = deque(maxlen=_TRIAL)
        self._usual: dict[int, float] = {}
        self._rest = 0.0  # seconds until the next trial; none is due while all threads are best
        self._tried = 0.0  # seconds of the trial
        self._trying = most > 1

    def __enter__(self) -> int:
        self._started = self._clock()
        return self.count

    def __exit__(self, *_: object) -> None:
        if self.most > 1:
            self._learn(self._clock() - self._started)

    def _learn(self, seconds: float) -> None:
        self._times.append(seconds)
        self._rest -= seconds
        self._tried += seconds
        if self._trying:
            is_long = len(self._times) == _TRIAL and (self.count == 1 or self._tried >= _AWAKE)
            if is_long or self._is_slower_than(self._usual.get(self._other)):
                self._end_trial()
        elif self._is_slower_than(self._usual[self.count]):
            self._usual[self.count] = seconds
            self._try(self._other)
        elif self.count == 1 and self._rest <= 0:
            self._usual[1] = median_low(self._times)
            self._try(self.most)

    @property
    def _other(self) -> int:
        return self.most + 1 - self.count

    def _is_slower_than(self, usual: float | None) -> bool:
        """Whether it is slower by so much that a few steps are enough to tell."""
        return usual is not None and sum(self._times) > _UPSET * _TRIAL * usual

    def _end_trial(self) -> None:
        self._usual[self.count] = median_low(self._times)
        if self._other not in self._usual:
            self._try(self._other)
            return
        self._trying, self._rest = False, _PATIENCE * sum(self._times)
        self.count = self.most if self._usual[self.most] < _CLEARLY * self._usual[1] else 1
        self._times.clear()

    def _try(self, count: int) -> None:
        self.count, self._trying, self._tried = count, True, 0.0
        self._times.clear()
