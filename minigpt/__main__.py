"""Runs the command line as `python -m minigpt`."""

import signal


def main() -> None:
    """Run the command line. Until a command handles Ctrl-C itself, it ends the process silently."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from minigpt.cli.app import main

    main()


if __name__ == "__main__":
    main()
