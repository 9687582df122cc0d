"""`soundloom generate --batch`: a sound for every row of a table, side by side, and taken up again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.progress import Advance
from .command import CommandError
from .generation_options import check_finish, chosen_settings, finish, with_guidance_end
from .options import add_count, load_model
from .terminal import progress_bar, say

if TYPE_CHECKING:
    from ..core.failures import Failure
    from ..gen.pipeline import AudioGen
    from ..gen.prompt_table import TableRow
    from ..gen.table_manifest import Manifest


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch",
        metavar="TABLE",
        help="instead of prompts: a .csv or .jsonl file with a row for each sound, - for standard input; "
        "columns are prompt, file and settings by their Python names, such as duration, seed, "
        "guidance_scale; options here hold where a row says nothing",
    )
    add_count(parser, "--jobs", 1, "with --batch: sounds made at a time")


@dataclass(frozen=True)
class Job:
    """A row to be made.

    Attributes:
        row: of the table.
        failure: why it is not made, if so.
    """

    row: TableRow
    failure: Failure | None = None

    @property
    def source(self) -> str:
        """The row, for messages."""
        return self.row.source


def run_table(options: argparse.Namespace) -> None:
    """Read the table, make what is not there yet, and say what became of every row."""
    import torch

    from ..core.failures import Failure, said
    from ..core.run_jobs import run_jobs
    from ..core.sound_tags import printable
    from ..gen.table_manifest import MANIFEST

    folder = _folder(options)
    rows = _rows(options)
    model = load_model(options)
    check_finish(options, model)
    table = Table(options, model, folder)
    jobs = [Job(row, row.failure) if row.failure else table.plan(row) for row in rows]
    todo = [job for job in jobs if job is not None]
    kept = len(jobs) - len(todo)
    if options.jobs > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // options.jobs))
    elapsed, total = 0.0, sum(_seconds(job.row) for job in todo if job.failure is None)
    with progress_bar(enabled=not options.quiet, desc="generating", unit="s") as bar:

        def advance(more: float) -> None:
            nonlocal elapsed
            elapsed += more
            bar(round(elapsed), round(total))

        def done(job: Job, outcome: Sequence[str] | Failure) -> None:
            if isinstance(outcome, Failure):
                say(f"soundloom: {printable(said(outcome))}", error=True)
            elif not options.quiet:
                for line in outcome:
                    say(line)

        outcomes = run_jobs(todo, table.make, workers=options.jobs, progress=advance, done=done)
    failed = sum(isinstance(outcome, Failure) for outcome in outcomes)
    if not options.quiet:
        say(f"{len(outcomes) - failed} rows made, {kept} kept, {failed} failed; {folder / MANIFEST}")
    if failed:
        raise CommandError(f"{failed} of {len(rows)} rows could not be done, see above")


def _folder(options: argparse.Namespace) -> Path:
    """The folder of the sounds, which is made."""
    from ..core.files import check_folder_destination

    if options.stream or options.continue_from is not None:
        raise CommandError("--batch makes whole sounds of prompts: leave out --stream and --continue-from")
    if options.output in (None, "-"):
        raise CommandError("--batch writes into a folder: name it with -o, as in -o sounds/")
    folder = check_folder_destination(options.output, force=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rows(options: argparse.Namespace) -> list[TableRow]:
    from ..core.files import check_source
    from ..gen.prompt_table import read_table

    settings = chosen_settings(options)
    if options.batch == "-":
        return read_table(sys.stdin.buffer.read(), "-", defaults=settings, subtype=options.subtype)
    path = check_source(options.batch, "table")
    return read_table(path.read_bytes(), str(path), defaults=settings, subtype=options.subtype)


def _seconds(row: TableRow) -> float:
    """Seconds of sound that a row takes."""
    return row.settings.duration * row.settings.num_samples * row.settings.candidates


class Table:
    """Makes the sounds of a table.

    Args:
        options: of the command.
        model: what generates; shared by threads.
        folder: of the sounds.
    """

    def __init__(self, options: argparse.Namespace, model: AudioGen, folder: Path) -> None:
        from ..gen.model.schemes import scheme_of
        from ..gen.origin import weights_of
        from ..gen.table_manifest import Manifest

        self._options, self._model, self._folder = options, model, folder
        self._manifest: Manifest = Manifest(folder)
        self._output: dict[str, Any] = {"model": model.name, "weights": weights_of(model)()}
        self._output["quantization"] = scheme_of(model.lm)  # the hash of weights in bf16 is that of float32
        self._output |= {
            name: getattr(options, name)
            for name in ("sample_rate", "loudness", "watermark", "subtype", "metadata")
        }
        self._scorer: Any = None

    def plan(self, row: TableRow) -> Job | None:
        """The job of a row; None if its files are there as they are asked for."""
        from ..core.failures import Failure
        from ..gen.table_manifest import refused, request_of

        try:
            row = replace(row, settings=with_guidance_end(row.settings, self._options, self._model))
            row.settings.frames(self._model.codec.frame_rate)
        except ValueError as error:
            return Job(row, Failure(row.source, str(error), error))
        there = [file for file in row.files if (self._folder / file).exists()]
        for file in row.files:
            if not (self._folder / file).parent.resolve().is_relative_to(self._folder.resolve()):
                out = f"{row.source}: {file}: its folder is a link that leads out of {self._folder}"
                return Job(row, Failure(row.source, out))
        outdated = {
            file: why
            for file in there
            if (why := self._manifest.outdated(file, request_of(row, file, self._output)))
        }
        if outdated and not self._options.force:
            file, reason = next(iter(outdated.items()))
            return Job(row, refused(row, file, reason))
        return None if len(there) == len(row.files) and not outdated else Job(row)

    def make(self, job: Job, advance: Advance) -> list[str]:
        """Make a row and write it; returns what to say of its files."""
        from ..core.sound_tags import printable
        from ..gen.table_manifest import request_of

        row, before = job.row, 0
        rows = row.settings.num_samples * row.settings.candidates

        def progress(done: int, total: int) -> None:
            nonlocal before
            advance((done - before) / self._model.codec.frame_rate * rows)
            before = done

        audio = finish(
            self._model.generate(row.prompt, row.settings, progress=progress, rerank=self._rerank(row)),
            self._options,
        )
        lines = []
        for index, file in enumerate(row.files):
            path = self._folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.save(
                path, index=index, force=True, subtype=self._options.subtype, metadata=self._options.metadata
            )
            made = {"prompt": row.prompt, "seed": audio.seeds[index], "seconds": audio.duration}
            self._manifest.add(file, request_of(row, file, self._output), **made)
            lines.append(f"{printable(str(path))}  {audio.duration:.2f} s, seed {audio.seeds[index]}")
        return lines

    def _rerank(self, row: TableRow) -> Any:
        if row.settings.candidates == 1:
            return None
        from ..evaluation.audio_text_scorer import AudioTextScorer

        self._scorer = self._scorer or AudioTextScorer()
        return self._scorer
