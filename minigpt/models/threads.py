"""How many threads a pass of a NativeGPT uses: as many as are faster at the moment than one."""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from statistics import median_low

_TRIAL = 4  # steps that tell how fast a number of threads is
_STARTED, _AWAKE = 0.002, 0.01  # seconds until threads have started, and until the system has given each a core
_CLEARLY = 0.9  # of the time of one thread: what all of them must stay below to be chosen
_UPSET = 4  # times the usual: another program has taken a core
# Seconds for which a number just chosen is credited with the speed of its trial: a single slow step counts for little.
_CREDIT = 0.01
# The next trial follows after so many times the length of the last one, or, if that changed nothing, the time it lost.
_PATIENCE = 100
_LEAST_PATIENCE = 10  # times the length of the last trial, however little it lost

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
    become slow and every now and then, because either may have been tried at a bad moment.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.count, self.most, self._clock = 1, most, clock
        self._times: deque[float] = deque(maxlen=_TRIAL)
        self._usual: dict[int, float] = {}
        self._spent = self._rest = 0.0  # seconds in steps since a trial began or ended; when the next one is due
        self._began, self._steps, self._in_steps = 0.0, 0.0, 0.0  # when this count was chosen, and the steps since then
        self._trying = most > 1

    def __enter__(self) -> int:
        self._started = self._clock()
        return self.count

    def __exit__(self, *_: object) -> None:
        if self.most > 1:
            now = self._clock()
            self._learn(now - self._started, now)

    def _learn(self, seconds: float, now: float) -> None:
        self._times.append(seconds)
        self._steps += 1
        self._in_steps += seconds
        self._spent += seconds
        if self._trying:
            awake = now - self._began if self.count > 1 else _AWAKE
            is_long = self._steps >= _TRIAL and awake >= _AWAKE
            if is_long or (awake >= _STARTED and self._is_slower_than(self._usual.get(self._other))):
                self._end_trial(now)
        elif self._is_slower_than(self._usual[self.count]):
            self._begin_trial(seconds, now)
        elif self._spent >= self._rest:
            self._begin_trial(0.0, now)

    @property
    def _other(self) -> int:
        return self.most + 1 - self.count

    def _is_slower_than(self, usual: float | None) -> bool:
        """Whether it is slower by so much that a few steps are enough to tell."""
        return usual is not None and sum(self._times) > _UPSET * _TRIAL * usual

    def _begin_trial(self, spent: float, now: float) -> None:
        """Try the other number. `spent`: the seconds of a slow step that led to the trial."""
        # The mean, as a program that takes a core now and then makes some steps very slow, and others not.
        self._usual[self.count], self._spent, self._trying = self._in_steps / self._steps, spent, True
        self._use(self._other, now)

    def _end_trial(self, now: float) -> None:
        self._usual[self.count] = median_low(self._times)
        if self._other not in self._usual:
            self._spent = 0.0
            self._use(self._other, now)
            return
        enough = _CLEARLY if self.count == self.most else 1.0  # those already in use need only be faster at all
        chosen = self.most if self._usual[self.most] < enough * self._usual[1] else 1
        lost = self._spent if chosen == self.count else self._spent - self._steps * self._usual[chosen]
        self._trying, self._rest, self._spent = False, max(_PATIENCE * lost, _LEAST_PATIENCE * self._spent), 0.0
        self._use(chosen, now)
        self._in_steps, self._steps = _CREDIT, _CREDIT / max(self._usual[self.count], 1e-9)

    def _use(self, count: int, now: float) -> None:
        self.count, self._began, self._steps, self._in_steps = count, now, 0.0, 0.0
        self._times.clear()
