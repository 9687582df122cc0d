"""Jobs of programs that use the demo."""

from __future__ import annotations

import time

from gradio_client.client import Job
from gradio_client.utils import Status


def until_processing(job: Job, seconds: float = 60) -> None:
    """Wait until the client knows that its job is being worked on.

    The work may begin before the client has heard of its job's number, and a job without a number is
    not cancelled.
    """
    deadline = time.monotonic() + seconds
    while job.status().code not in (Status.PROCESSING, Status.ITERATING):
        assert time.monotonic() < deadline, f"the job is still {job.status().code}"
        time.sleep(0.02)
