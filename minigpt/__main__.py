"""`minigpt`, and `python -m minigpt`, the same."""

import signal


def main() -> None:
    """Ctrl-C ends quietly from the start: before a command runs, and can say so itself, all of them are imported."""
    meanwhile = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if meanwhile:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from minigpt.cli.app import main

    if meanwhile:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


if __name__ == "__main__":
    main()
