"""How many threads steps end up with, on free cores and on busy ones, by a clock of our own; and workers."""

import random
import sys
import threading
from functools import partial

import pytest
import torch

from minigpt.models import threads
from minigpt.models.threads import StepThreads, available_cores, most_threads, use_threads
from minigpt.models.workers import Workers, one_thread


class Machine:
    """Steps take `seconds[threads]`."""

    def __init__(self, most: int, one: float, all_of_them: float) -> None:
        self.now, self.seconds, self.used = 0.0, {1: one, most: all_of_them}, list[int]()
        self.every, self.extra, self._steps = 1, 0.0, 0  # what another program takes of so many steps with all threads
        self.threads = StepThreads(most, clock=lambda: self.now)

    def run(self, steps: int) -> list[int]:
        self.used = []
        for _ in range(steps):
            with self.threads as count:
                self.used.append(count)
                self._steps += count > 1
                is_disturbed = count > 1 and self._steps % self.every == 0
                self.now += self.seconds[count] + (self.extra if is_disturbed else 0)
        return self.used


def test_both_are_tried_and_the_quicker_one_stays() -> None:
    assert Machine(2, 1.0, 0.6).run(100) == [1] * 4 + [2] * 96
    assert Machine(2, 1.0, 1.5).run(100) == [1] * 4 + [2] * 4 + [1] * 92


def test_what_is_hardly_quicker_is_not_worth_the_cores() -> None:
    used = Machine(8, 1.0, 0.95).run(1000)
    assert used.count(1) > 0.9 * len(used)


def test_a_trial_ends_at_once_when_it_is_hopeless() -> None:
    assert Machine(2, 1.0, 40.0).run(50) == [1] * 4 + [2] + [1] * 45


def test_threads_have_time_to_start() -> None:
    """Their first steps are slow enough to look hopeless."""
    machine = Machine(2, 0.00005, 0.0006)
    machine.run(6)
    machine.seconds[2] = 0.00003
    assert machine.run(1000)[-1] == 2


def test_a_trial_that_lost_little_is_soon_repeated() -> None:
    machine = Machine(2, 0.001, 0.0011)
    machine.run(100)
    machine.seconds[2] = 0.0005
    assert machine.run(250)[-1] == 2


def test_threads_have_time_to_wake_up() -> None:
    """Until they have, they may share a core, and quick steps would be over before."""
    machine = Machine(2, 0.001, 0.0018)
    machine.run(8)
    machine.seconds[2] = 0.0005
    assert machine.run(20)[-1] == 2
    assert machine.run(1000).count(1) == 0


def test_a_core_that_is_taken_away_is_noticed_and_its_return_too() -> None:
    machine = Machine(2, 1.0, 0.6)
    machine.run(50)
    machine.seconds[2] = 40.0
    assert machine.run(20) == [2] + [1] * 19
    machine.seconds[2] = 0.6
    assert machine.run(10_000)[-1] == 2


def test_a_busy_machine_is_not_slowed_much_by_trials() -> None:
    machine = Machine(2, 1.0, 40.0)
    machine.run(10_000)
    assert machine.now < 1.05 * 10_000


def test_a_program_that_takes_a_core_every_now_and_then_slows_steps_little() -> None:
    machine = Machine(2, 0.00005, 0.00003)
    machine.run(1000)
    machine.every, machine.extra = 4, 0.0027
    before = machine.now
    machine.run(10_000)
    assert machine.now - before < 1.2 * 10_000 * machine.seconds[1]


def test_a_single_slow_step_of_one_thread_does_not_count_for_it() -> None:
    machine = Machine(2, 0.00006, 0.0005)
    machine.run(1000)
    machine.seconds[1] = 0.002
    machine.run(1)
    machine.seconds[1] = 0.00006
    assert machine.run(100)[-1] == 1


def test_a_slow_step_of_a_trial_does_not_begin_another() -> None:
    machine = Machine(2, 1.0, 0.6)
    machine.every, machine.extra = 4, 40.0
    machine.run(8)
    machine.extra = 0.0
    assert machine.run(92) == [2] * 92


def test_steps_that_are_interrupted_now_and_then_do_not_give_up_the_threads() -> None:
    machine, chance = Machine(2, 0.00005, 0.00003), random.Random(0)
    used = list[int]()
    for _ in range(1000):
        machine.extra = 0.001
        used += machine.run(1)
        machine.extra = 0.0
        used += machine.run(chance.randrange(300))
    assert used.count(1) < 0.1 * len(used)


def test_threads_in_use_are_kept_while_they_are_any_faster_than_one() -> None:
    machine = Machine(2, 1.0, 0.6)
    machine.run(50)
    machine.seconds[2] = 0.95
    assert machine.run(1000)[-1] == 2


def test_threads_that_have_become_a_little_slower_are_given_up() -> None:
    machine = Machine(2, 1.0, 0.6)
    machine.run(50)
    machine.seconds[2] = 1.5
    assert machine.run(1000)[-1] == 1


def test_where_there_is_one_thread_there_is_nothing_to_try() -> None:
    assert Machine(1, 1.0, 1.0).run(20) == [1] * 20


def test_the_most_threads_are_those_asked_for_then_torchs_then_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_given", [])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert most_threads() == 3
        use_threads(2)
        assert (most_threads(), torch.get_num_threads()) == (2, 2)
        monkeypatch.delitem(sys.modules, "torch")
        assert most_threads() == 2
        monkeypatch.setattr(threads, "_given", [])
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        assert most_threads() == 5
        for useless in ("0,many", "0", "100000", "9" * 5000):
            monkeypatch.setenv("OMP_NUM_THREADS", useless)
            assert most_threads() == available_cores() >= 1
    finally:
        torch.set_num_threads(before)


def test_one_thread_lasts_until_its_block_is_left() -> None:
    torch.set_num_threads(3)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_workers_return_results_in_order_and_leave_torchs_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    workers = Workers(3)
    found = workers.run([lambda i=i: (i, torch.get_num_threads(), threading.get_ident()) for i in range(3)])
    assert [number for number, _, _ in found] == [0, 1, 2]
    assert {threads for _, threads, _ in found} == {1}
    assert found[0][2] == threading.get_ident()  # the caller takes a part too
    assert torch.get_num_threads() == before
    assert workers.run([lambda: 7]) == [7]


@pytest.mark.parametrize("where", [0, 1])
def test_an_error_in_a_worker_is_raised_when_all_have_ended(where: int) -> None:
    ended = list[int]()

    def task(number: int) -> None:
        if number == where:
            raise ValueError(number)
        ended.append(number)

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match=str(where)):
        Workers(2).run([partial(task, 0), partial(task, 1)])
    assert ended == [1 - where]
    assert torch.get_num_threads() == before
