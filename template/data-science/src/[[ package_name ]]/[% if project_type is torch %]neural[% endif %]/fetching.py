"""What went wrong where a library fetches a published model."""

import socket
import ssl
import textwrap
import urllib.error

# The library of Hugging Face's hub, which not all types of data have, calls so what it cannot find without a network.
_WITHOUT_NETWORK = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, means that a server cannot be reached."""
    while error is not None:
        if isinstance(error, urllib.error.HTTPError):  # a server answered
            return False
        if isinstance(error, socket.gaierror | ssl.SSLError | ConnectionError | TimeoutError | urllib.error.URLError):
            return True
        if type(error).__name__ in _WITHOUT_NETWORK:
            return True
        error = error.__cause__ or error.__context__
    return False


def in_one_line(error: BaseException) -> str:
    """Return the words of an error, at most 200 characters, with no word and no address cut in two."""
    return textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__
