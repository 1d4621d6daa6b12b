"""`python -m minigpt`, the same as `minigpt`."""

from minigpt.cli.app import main

if __name__ == "__main__":
    main()
