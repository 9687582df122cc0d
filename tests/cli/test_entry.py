"""The `soundloom` command as a whole: its help, what it loads, and errors that any command may meet."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from soundloom import __version__
from soundloom.cli.command import CommandError, did_you_mean, run_guarded
from soundloom.cli.entry import COMMANDS
from soundloom.cli.options import run_with
from soundloom.cli.training import TRAINING_COMMANDS
from soundloom.core.errors import ArgumentError
from tests.cli.running import refused, run


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert {*COMMANDS, *TRAINING_COMMANDS} <= listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_that_it_understands(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    examples = shown.split("examples:\n")[1].splitlines()
    assert any(line.strip().startswith(f"soundloom {name}") for line in examples)
    assert max(map(len, examples)) <= 110
    options = re.findall(
        r"--[a-z][a-z-]*", " ".join(line for line in examples if f"soundloom {name} " in line)
    )
    assert set(options) <= set(re.findall(r"--[a-z][a-z-]*", shown.split("\n\n")[0]))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["genrate", "a dog"], ["there is no command 'genrate'", "did you mean generate?"]),
        (["bench"], ["there is no command 'bench'", "bench-codecs"]),
        (["xyz"], ["there is no command 'xyz'", "use one of generate, demo", "fit"]),
        (
            ["generate", "a dog", "--durration", "5"],
            ["there is no option --durration", "did you mean --duration?"],
        ),
        (["export", "a", "b", "--no-eam"], ["there is no option --no-eam", "--no-ema"]),
        (["generate", "a dog", "--xyz=5"], ["there is no option --xyz"]),
        (["--verison"], ["there is no option --verison", "--version"]),
        (["compare", "a.wav", "b.wav", "c.wav"], ["'c.wav' is one word too many"]),
        (["generate", "a dog", "--num-samples", "0"], ["--num-samples", "'0'", "1 or more"]),
        (["generate", "a dog", "--num-samples", "²"], ["--num-samples", "'²'", "1 or more"]),
        (["generate", "a dog", "--duration", "long"], ["--duration", "'long' is no number"]),
        (["generate", "a dog", "--seed", "1.5"], ["--seed", "'1.5' is no whole number"]),
        (["demo", "--port", "99999"], ["--port", "'99999'", "1 to 65535"]),
        (["export", "a", "b", "--weights", "int4"], ["--weights", "int4", "int8"]),
        (["-q", "fit", "--config", "x.yaml"], ["there is no option -q"]),
        ([], ["no command is given", "generate", "fit"]),
    ],
    ids=str,
)
def test_a_word_that_is_not_known_is_one_clear_line(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, *words)
    for part in parts:
        assert part in message


def test_no_suggestion_is_better_than_a_far_one() -> None:
    assert did_you_mean("--top", ["--duration", "--seed"]) == ""
    assert did_you_mean("--modle", ["--codec", "--model"]) == "; did you mean --model?"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("top_k is -1; 0 is off", "--top-k is -1; 0 is off"),
        ("duration is 0; a sound has a duration", "--duration is 0; a sound has a duration"),
        ("the seed is odd", "the seed is odd"),
        ("top_p is 2", "top_p is 2"),  # this command has no such option
        ("my_top_k and --top-k", "my_top_k and --top-k"),
    ],
)
def test_an_error_names_settings_as_the_command_does(message: str, said: str) -> None:
    def fail(options: argparse.Namespace) -> None:
        raise ArgumentError(message)

    with pytest.raises(CommandError) as caught:
        run_with(argparse.Namespace(top_k=1, duration=2.0, seed=0), fail)
    assert str(caught.value) == said
    with pytest.raises(ArgumentError, match=f"^{message}$"):
        run_with(argparse.Namespace(), fail)


def test_an_option_may_be_shortened_and_stand_anywhere(tmp_path: Path) -> None:
    words = ("--dur", 0.2, "-o", tmp_path / "x.wav", "a dog", "-q")
    assert run("generate", *words) == 0
    assert (tmp_path / "x.wav").exists()


@pytest.mark.parametrize("place", [0, 1, 4])
def test_debug_shows_the_traceback(place: int, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "a dog", "--duration", "0"]
    assert run(*words[:place], "--debug", *words[place:]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_unforeseen_error_is_named_and_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert run_guarded(lambda: fail(RuntimeError("odd")), debug=False) == 2
    assert "soundloom: error: RuntimeError: odd (run again with --debug" in capsys.readouterr().err
    assert run_guarded(lambda: fail(KeyboardInterrupt()), debug=False) == 130


def run_cold(*code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = {"torch", "gradio", "lightning", "numpy", "transformers"}
    code = (
        "import sys, time; start = time.process_time()",  # a busy machine is no defect
        "from soundloom.cli import main",
        "try: main([WORD])",
        "except SystemExit as stop: assert not stop.code",
        f"assert not {heavy} & set(sys.modules)",
        "print(time.process_time() - start)",
    )
    for word, expected in (("--help", "soundloom generate"), ("--version", f"soundloom {__version__}")):
        printed = run_cold(*(line.replace("WORD", repr(word)) for line in code)).stdout
        assert expected in printed
        assert float(printed.splitlines()[-1]) < 0.5


def test_generating_imports_nothing_that_it_does_not_need() -> None:
    heavy = {"gradio", "lightning", "matplotlib", "torchmetrics", "encodec", "omegaconf", "scipy.signal"}
    run_cold(
        "import sys",
        "import soundloom",
        "audiogen = soundloom.AudioGen.from_pretrained()",  # transformers' T5 imports the compiler itself
        "assert audiogen.generate('a dog', 0.2).samples.shape[-1] == 2560",
        f"found = {heavy | {'torch._dynamo', 'sympy'}} & set(sys.modules)",
        "assert not found, found",
    )


def test_a_reader_that_has_gone_is_told_nothing() -> None:
    program = (
        "import sys; from soundloom.cli.command import run_guarded; "
        "sys.exit(run_guarded(lambda: print('a' * 10**6), debug=False))"
    )
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141
