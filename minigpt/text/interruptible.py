"""A long call of a library in; its result out, while signals are heeded."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_SECONDS = 0.2  # between looks at signals, where the system gives one to another thread


def interruptible(work: Callable[[Callable[[], bool]], T]) -> T:
    """What `work` returns or raises, from a thread of its own; meanwhile signals are handled as ever.

    Python handles no signal while its main thread is inside a library, however long that takes. What a handler raises
    ends the waiting: then `work`, which is told by the function that it is given, is left to end by itself.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    left = threading.Event()

    def run() -> None:
        try:
            results.append(work(left.is_set))
        except BaseException as error:  # the library's panics are no Exceptions
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)  # which the end of the program does not wait for
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS)
    except BaseException:
        left.set()
        raise
    if errors:
        raise errors[0]
    return results[0]
