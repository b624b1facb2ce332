"""Files are compared with a published schema, in this process: the program takes a quarter of a second to start."""

from collections.abc import Iterable
from pathlib import Path


def schema_errors(schema: str, files: Iterable[Path], *options: str) -> str:
    """What check-jsonschema says about files by one of the schemas that it has; nothing if they match."""
    import check_jsonschema  # with libraries for HTTP
    from click.testing import CliRunner

    words = ["--builtin-schema", schema, *options, *sorted(map(str, files))]
    done = CliRunner().invoke(check_jsonschema.main, words, catch_exceptions=False)
    return done.output if done.exit_code else ""
