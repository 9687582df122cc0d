"""Run jobs on many files side by side, in threads; one that fails is a `Failure` among the results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Protocol, TypeVar

from .errors import ArgumentError
from .failures import Failure, attempt
from .progress import Advance


class AnyJob(Protocol):
    """What is to be done."""

    @property
    def source(self) -> Any:
        """What it is made of; messages name it."""

    @property
    def failure(self) -> Failure | None:
        """Why it cannot be done, if that is known."""


Job = TypeVar("Job", bound=AnyJob)
Result = TypeVar("Result")


class _Stopped(Exception):
    """The user has had enough."""


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job, Advance], Result],
    *,
    workers: int = 1,
    progress: Advance | None = None,
    done: Callable[[Job, Result | Failure], None] | None = None,
) -> list[Result | Failure]:
    """Do all jobs; one that fails does not keep the others from being done.

    Args:
        jobs: with a source, and a failure where that is known.
        work: does one, calling the Advance that it is given.
        workers: threads.
        progress: called with what is done, such as seconds of sound; never by two threads at a time.
        done: called when a job has ended, with its result or its failure; never by two threads at a time.

    Returns:
        Results, and for the jobs that failed a Failure, in the order of the jobs.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ArgumentError(f"jobs is {workers}; it must be 1 or more")
    stopped = threading.Event()
    lock = threading.Lock()

    def advance(seconds: float) -> None:
        if stopped.is_set():
            raise _Stopped
        if progress is not None:
            with lock:
                progress(seconds)

    def run(job: Job) -> Result | Failure:
        outcome: Result | Failure
        outcome = attempt(str(job.source), work, job, advance) if job.failure is None else job.failure
        if done is not None and not stopped.is_set():
            with lock:
                done(job, outcome)
        return outcome

    if workers == 1:
        return [run(job) for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            for _ in as_completed(futures):
                pass
        except BaseException:
            stopped.set()  # those that run end at their next block and remove what they wrote
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]
