"""What is said where a published model cannot be fetched."""

import io
import socket
import urllib.error

import pytest
from helpers import module

fetching = module("neural.fetching")
ADDRESS = "https://models.example/" + "a" * 90


def wrapped(cause):
    """Return an error of a library that came of another one, as libraries raise them."""
    try:
        try:
            raise cause
        except Exception as error:
            raise OSError(f"We couldn't connect to {ADDRESS} to load the files") from error
    except OSError as error:
        return error


@pytest.mark.parametrize(
    "cause",
    [
        socket.gaierror(-2, "Name or service not known"),
        ConnectionRefusedError("refused"),
        TimeoutError("timed out"),
        urllib.error.URLError("no route to host"),
        type("LocalEntryNotFoundError", (FileNotFoundError,), {})("not in the cache"),
    ],
)
def test_a_server_that_does_not_answer_is_unreachable_whatever_wraps_that(cause):
    assert fetching.is_unreachable(cause)
    assert fetching.is_unreachable(wrapped(cause))


@pytest.mark.parametrize(
    "cause",
    [ValueError("not a model"), urllib.error.HTTPError(ADDRESS, 404, "Not Found", {}, io.BytesIO()), OSError("full")],
)
def test_a_server_that_answers_is_reachable(cause):
    assert not fetching.is_unreachable(wrapped(cause))


def test_an_error_is_one_line_in_which_no_address_is_cut():
    line = fetching.in_one_line(ValueError(f"Cannot read\n{ADDRESS} and\n\n{ADDRESS}\n"))
    assert line == f"Cannot read {ADDRESS} and ..."
    assert fetching.in_one_line(ValueError("")) == "ValueError"
