"""Asking language models for algorithms under the cap: one task run per model.

Up to as many models as the cap allows: each is a task with the tag `llm-request`, which holds one
slot. More models go through lanes: a lane holds one slot and asks one model after another, each an
ordinary task with its own name, state and retries. A slot on SQLite costs up to 2 s whenever its
request meets another writer: 60 models that each take a slot were measured at 1.5 times the ideal
time, six lanes that take six slots at 1.08 times.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.algorithms.asking import Asking, judge_unread
from alphafoundry.algorithms.generation import Assignment, sort_out
from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.llm import Completion
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT

LANGUAGE_MODEL_CAP = "llm-request"


@task(
    name="ask for an algorithm",
    task_run_name="ask {one.model}",
    tags=[LANGUAGE_MODEL_CAP],
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def ask_model(asking: Asking, one: Assignment) -> Completion:
    """Send one request, holding one slot of the cap; Prefect's retries send it again."""
    with holding_slot():
        return await asking.send(one)


@task(
    name="ask for an algorithm",
    task_run_name="ask {one.model}",
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def ask_model_in_lane(asking: Asking, one: Assignment) -> Completion:
    """Do the same within the slot of a lane."""
    return await asking.send(one)


@task(
    name="language model lane",
    task_run_name="language model lane {number}",
    tags=[LANGUAGE_MODEL_CAP],
    cache_policy=NO_CACHE,
)
async def language_model_lane(asking: Asking, number: int) -> None:
    """Ask one model after another while holding one slot of the cap."""
    with holding_slot():
        await asking.lane(number, ask_model_in_lane)


async def ask_models(run: AlgorithmsRun) -> None:
    """Ask every model that has not answered yet, and keep what each wrote.

    At most as many requests are under way as the cap allows, and fewer while the service answers
    429. What has not finished when the time is over, or when the run is stopped, is cut off;
    everything finished is kept.
    """
    began = time.monotonic()
    seconds = run.settings.algorithms.timeout
    to_ask = await judge_unread(run, run.plan())
    (kept, skipped), cap = await asyncio.gather(
        sort_out(run.endpoint.provider, to_ask), require_limit(LANGUAGE_MODEL_CAP)
    )
    for placeholder in skipped:
        run.keep(placeholder)
    asking = Asking(run, kept, deadline=began + seconds)
    single = partial(asking.one, ask=ask_model)
    open_lane = partial(language_model_lane, asking) if len(kept) > cap else single
    run.bookkeeping |= await asking.in_lanes(open_lane, cap=cap)
    run.save_requests()
    if not run.stop.is_set():
        run.give_up(f"not finished within the {seconds:g} s of the whole run")
    run.asking_seconds = time.monotonic() - began
