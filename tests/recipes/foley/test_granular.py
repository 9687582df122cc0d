"""Events that fill their time exactly."""

import numpy as np
import pytest

from soundloom.recipes.foley.granular import schedule


@pytest.mark.parametrize(("seconds", "count"), [(0.8973000000000013, 7), (3.54140000000001, 7), (5.6, 3)])
def test_events_that_need_all_the_time_have_a_place_in_it(seconds: float, count: int) -> None:
    plan = schedule(np.random.default_rng(0), seconds, count, length=seconds / count, gap=0.3)
    assert len(plan.starts) == count
    assert plan.starts[-1] + plan.length <= seconds + 1e-9
    assert np.all(np.diff(plan.starts) >= plan.length - 1e-9)
