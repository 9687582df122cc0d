"""Which files there are, what each becomes, and doing them side by side."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from soundloom.codecs.compression.jobs import Job, plan_jobs
from soundloom.core.failures import Failure
from soundloom.core.progress import Advance
from soundloom.core.run_jobs import run_jobs


def tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def plan(*sources: object, out: object = "out", force: bool = False) -> dict[str, str]:
    jobs = plan_jobs(
        [str(source) for source in sources],
        str(out),
        suffixes={".wav", ".flac"},
        new_suffix=".loom",
        force=force,
    )
    return {str(job.source): str(job.destination) for job in jobs}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tree(
        tmp_path,
        "a.wav",
        "s/b.wav",
        "s/t/c.WAV",
        "s/t/d.flac",
        "s/notes.txt",
        "s/.hidden.wav",
        "s/.git/e.wav",
    )
    return tmp_path


def test_one_file_becomes_the_file_that_is_named(here: Path) -> None:
    assert plan("a.wav", out="x.loom") == {"a.wav": "x.loom"}
    (here / "made").mkdir()
    assert plan("a.wav", out="made") == {"a.wav": "made/a.loom"}
    assert plan("a.wav", out="new/") == {"a.wav": "new/a.loom"}


def test_folders_keep_their_structure() -> None:
    inside = {"s/b.wav": "out/b.loom", "s/t/c.WAV": "out/t/c.loom", "s/t/d.flac": "out/t/d.loom"}
    assert plan("s") == plan("s/") == inside
    assert plan("a.wav", "s") == {"a.wav": "out/a.loom", **inside}


def test_patterns() -> None:
    assert plan("s/**/*.wav") == {"s/b.wav": "out/b.loom"}
    assert plan("s/t/*") == {"s/t/c.WAV": "out/c.loom", "s/t/d.flac": "out/d.loom"}
    assert plan("*.wav") == {"a.wav": "out/a.loom"}


def test_a_file_with_wildcards_in_its_name_is_that_file(here: Path) -> None:
    tree(here, "take[1].wav")
    assert plan("take[1].wav", out="x.loom") == {"take[1].wav": "x.loom"}


def test_files_that_would_become_one_keep_their_suffix(here: Path) -> None:
    tree(here, "s/b.flac")
    planned = plan("s")
    assert planned["s/b.wav"] == "out/b.wav.loom"
    assert planned["s/b.flac"] == "out/b.flac.loom"
    assert planned["s/t/d.flac"] == "out/t/d.loom"
    tree(here, "other/b.wav")
    with pytest.raises(
        FileExistsError, match=r"s/b\.wav and other/b\.wav would both become out/b\.wav\.loom"
    ):
        plan("s/b.wav", "other/b.wav")


def test_what_is_refused(here: Path) -> None:
    tree(here, "out/b.loom", "x.loom", "text/only.txt")
    cases: list[tuple[type[Exception], str, tuple[str, ...], str]] = [
        (FileExistsError, r"out/b\.loom already there", ("s",), "out"),
        (FileExistsError, r"x\.loom already exists", ("a.wav",), "x.loom"),
        (FileNotFoundError, r"no such file: gone\.wav", ("gone.wav", "a.wav"), "out2"),
        (FileNotFoundError, "nothing to do in gone.*: it has no file", ("gone*",), "out2"),
        (FileNotFoundError, r"suffixes \.flac, \.wav; the 1 files there are none", ("text",), "out2"),
        (FileNotFoundError, "folder missing does not exist.*mkdir", ("a.wav",), "missing/x.loom"),
        (NotADirectoryError, r"several files cannot become one: x\.loom", ("s",), "x.loom"),
    ]
    for kind, message, sources, out in cases:
        with pytest.raises(kind, match=message):
            plan(*sources, out=out)
    assert plan("s", force=True)["s/b.wav"] == "out/b.loom"


def test_more_than_three_that_exist_are_counted(here: Path) -> None:
    tree(here, *(f"many/{n}.wav" for n in range(5)), *(f"out/{n}.loom" for n in range(5)))
    with pytest.raises(FileExistsError, match=r"0\.loom, out/1\.loom, out/2\.loom and 2 more"):
        plan("many")


# --- doing them ----------------------------------------------------------------------------------------


def some_jobs(count: int) -> list[Job]:
    return [Job(Path(f"{n}.wav"), Path(f"made/{n % 2}/{n}.loom")) for n in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_one_failure_keeps_nobody_else_from_being_done(workers: int) -> None:
    def work(job: Job, progress: Advance) -> str:
        progress(0.5)
        if job.source.stem == "2":
            raise ValueError("bad sound")
        job.destination.parent.mkdir(parents=True, exist_ok=True)
        job.destination.write_text("done")
        return job.source.stem

    seconds, ended = [], []
    outcomes = run_jobs(
        some_jobs(5), work, workers=workers, progress=seconds.append, done=lambda job, _: ended.append(job)
    )
    assert [str(outcome) for outcome in outcomes] == ["0", "1", "2.wav: bad sound", "3", "4"]
    assert isinstance(outcomes[2], Failure)
    assert isinstance(outcomes[2].error, ValueError)
    assert seconds == [0.5] * 5
    assert len(ended) == 5
    assert Path("made/1/3.loom").read_text() == "done"


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    run_jobs(some_jobs(3), lambda job, progress: together.wait(), workers=3)


def test_stopping_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    ended = []

    def work(job: Job, progress: Advance) -> None:
        begun.set()
        try:
            while True:
                progress(1.0)
        finally:
            ended.append(job)

    def stop(seconds: float) -> None:
        begun.wait(20)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    monkeypatch.setattr("soundloom.core.run_jobs.as_completed", lambda futures: (stop(0.0), iter(()))[1])
    with pytest.raises(KeyboardInterrupt):
        run_jobs(some_jobs(4), work, workers=2)
    assert 1 <= len(ended) <= 2, "those that ran have ended, the others never began"


def test_too_few_workers() -> None:
    with pytest.raises(ValueError, match="jobs is 0"):
        run_jobs([], lambda job, progress: None, workers=0)


def test_what_cannot_be_a_source_is_a_job_that_fails(here: Path) -> None:
    (here / "s" / "gone.wav").symlink_to("nowhere.wav")
    (here / "s" / "notes").symlink_to("nowhere")
    (here / "s" / "gone.txt").symlink_to("nowhere.txt")
    for source in ("s", "s/**/*", "s/**"):
        jobs = plan_jobs([source], "out", suffixes={".wav", ".flac"}, new_suffix=".loom")
        failed = {job.source.name for job in jobs if job.failure is not None}
        assert {"gone.wav"} <= failed <= {"gone.wav", "notes"}
        assert len(jobs) - len(failed) == 3
        outcomes = run_jobs(jobs, lambda job, progress: job.source.name)
        assert sorted(str(outcome) for outcome in outcomes if not isinstance(outcome, Failure)) == [
            "b.wav",
            "c.WAV",
            "d.flac",
        ]


def test_a_linked_folder_keeps_its_place(here: Path) -> None:
    tree(here, "far/e.wav")
    (here / "s" / "near").symlink_to("../far")
    (here / "s" / "up").symlink_to("..")
    planned = plan("s")
    assert planned["s/near/e.wav"] == "out/near/e.loom"
    assert planned["s/b.wav"] == "out/b.loom"
    assert planned["s/up/a.wav"] == "out/up/a.loom"
    assert len(planned) == 5
