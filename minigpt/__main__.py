"""Runs the command line as `python -m minigpt`."""

import signal


def main() -> None:
    """Until a command runs, and can say so itself, Ctrl-C ends all without a word: much is imported first."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from minigpt.cli.app import main

    main()


if __name__ == "__main__":
    main()
