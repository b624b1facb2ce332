"""The command line in this process."""

from mlops import cli


def run(*words: str) -> int:
    """Run a command line and return its exit code."""
    try:
        cli.main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0
