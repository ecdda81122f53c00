"""The parts of `check.py`: how files, lines, times and keys are read, as `README.md` says."""


class Malformed(Exception):
    """A line to which its format gives no time or no key."""
