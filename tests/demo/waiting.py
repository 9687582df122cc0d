"""Wait until something is so, however slow the machine is."""

from __future__ import annotations

import time
from typing import Any

from gradio_client.client import Job
from gradio_client.utils import Status
from playwright.sync_api import Page


def until_processing(job: Job, seconds: float = 60) -> None:
    """Wait until the client knows that its job is being worked on.

    The work may begin before the client has heard of its job's number, and a job without a number is
    not cancelled.
    """
    deadline = time.monotonic() + seconds
    while job.status().code not in (Status.PROCESSING, Status.ITERATING):
        assert time.monotonic() < deadline, f"the job is still {job.status().code}"
        time.sleep(0.02)


def wait_for_requests(page: Page, requests: list[Any], seconds: float = 60) -> list[Any]:
    """Wait until the list into which a page's requests are put, by `page.route` or `page.on`, has one."""
    deadline = time.monotonic() + seconds
    while not requests:
        assert time.monotonic() < deadline, "the page has asked for nothing"
        page.wait_for_timeout(20)  # in which requests are noticed
    return requests
