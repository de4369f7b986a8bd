"""How a command ends that is no flow."""

from __future__ import annotations

import pytest

from alphafoundry.errors import ConfigurationError
from flows.plain_command import Parser, end_with


def ended(work: object, **more: int) -> int:
    with pytest.raises(SystemExit) as caught:
        end_with(work, **more)  # type: ignore[arg-type]
    return int(caught.value.code)  # type: ignore[arg-type]


def raising(problem: BaseException) -> object:
    def work() -> int:
        raise problem

    return work


def test_a_mistake_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raising(ConfigurationError("config/x.yaml:1: a: is wrong"))) == 2
    assert capsys.readouterr().err == "error: config/x.yaml:1: a: is wrong\n"
    assert ended(raising(PermissionError(13, "Permission denied", "/there"))) == 2
    assert capsys.readouterr().err == "error: /there: Permission denied\n"


def test_ctrl_c_says_nothing_and_has_the_status_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended(raising(KeyboardInterrupt())) == 130
    assert ended(raising(KeyboardInterrupt()), interrupted=0) == 0
    assert ended(lambda: 3) == 3
    assert capsys.readouterr() == ("", "")


def test_a_wrong_flag_is_one_line_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = Parser(prog="command", allow_abbrev=False)
    parser.add_argument("--port")
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--prt", "1"])
    assert caught.value.code == 2
    told = "error: unrecognized arguments: --prt 1; did you mean --port? "
    assert capsys.readouterr().err == f"{told}(`command --help` lists the flags)\n"
