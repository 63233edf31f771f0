from __future__ import annotations

import errno
import json

import pytest
import typer
from typer.testing import CliRunner

from lakemill.cli.command import Command, Group, remember_debug
from lakemill.cli.exits import fault_of
from lakemill.core.errors import (
    AlreadyExistsError,
    ConfigError,
    EngineError,
    LakemillError,
    MissingExtraError,
    NotFoundError,
    StorageError,
    TaskError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (TaskError("x"), 3),
        *[(kind("x"), 1) for kind in (NotFoundError, AlreadyExistsError, StorageError, EngineError, MissingExtraError)],
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 1),
        (RuntimeError("x"), 70),
        (KeyError("x"), 70),
    ],
)
def test_codes(error, code):
    assert fault_of(error).exit_code == code


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (LakemillError("no table x", hint="did you mean y?"), "no table x", "did you mean y?"),
        (OSError(errno.ENOSPC, "No space left on device", "/d/f"), "No space left on device: /d/f", "free some space"),
        (OSError(errno.EROFS, "Read-only file system", "/d/f"), "Read-only file system: /d/f", "make the folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/d"), "Permission denied: /d", "make the folder"),
        (OSError("timed out"), "timed out", ""),
        (KeyError("x"), "unexpected KeyError: 'x'", "run again with --debug, and report it"),
    ],
)
def test_words(error, message, hint):
    fault = fault_of(error)
    assert fault.message == message
    assert fault.hint.startswith(hint)
    assert bool(fault.hint) == bool(hint)


def raising(error: Exception) -> typer.Typer:
    app = typer.Typer(cls=Group, pretty_exceptions_enable=False)

    @app.callback()
    def _start(ctx: typer.Context, debug: bool = False) -> None:
        remember_debug(ctx, debug)

    @app.command(cls=Command)
    def work(as_json: bool = typer.Option(False, "--json")) -> None:
        raise error

    return app


BAD = ConfigError("lakemill.yml:5:3: [bold]tasks[0][/bold]: wrong\nlakemill.yml:6:3: also", hint="see [docs]")


def test_an_error_is_told_on_standard_error_as_it_is():
    result = CliRunner().invoke(raising(BAD), ["work"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: lakemill.yml:5:3: [bold]tasks[0][/bold]: wrong\n       lakemill.yml:6:3: also\n hint: see [docs]\n"
    )


def test_long_errors_are_not_cut_into_lines():
    path = "/folder" * 60
    result = CliRunner().invoke(raising(StorageError(f"cannot write {path}")), ["work"])
    assert result.stderr == f"error: cannot write {path}\n"


def test_with_json_standard_output_is_one_document():
    result = CliRunner().invoke(raising(BAD), ["work", "--json"])
    assert json.loads(result.stdout) == {
        "error": {"type": "ConfigError", "message": BAD.message, "hint": BAD.hint, "exit_code": 2}
    }
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("arguments", [["--debug", "work"], ["work", "--debug"]])
def test_a_traceback_only_where_asked_for(arguments):
    app = raising(RuntimeError("boom"))
    assert "Traceback" not in CliRunner().invoke(app, ["work"]).output
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith(
        "error: unexpected RuntimeError: boom\n hint: run again with --debug, and report it\n"
    )


def test_a_closed_pipe_is_no_bug():
    result = CliRunner().invoke(raising(BrokenPipeError(errno.EPIPE, "Broken pipe")), ["work"])
    assert (result.exit_code, result.output) == (1, "")
