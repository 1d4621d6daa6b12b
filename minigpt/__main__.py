"""Runs the command line as `python -m minigpt`."""

import atexit
import gc
import os
import signal


def main() -> None:
    """Run the command line. Until a command handles Ctrl-C itself, it ends the process silently."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # NumPy's threads for matrix products, which no command needs, keep the cores busy for a tenth of a second after its
    # import: a model's own would have to wait for one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nothing that is imported is garbage: looking for it took a tenth of --help, and a last time at the end a sixth.
    gc.disable()
    atexit.register(gc.freeze)
    from minigpt.cli.app import main

    try:
        main()
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
