"""What a run of algorithm generation has at hand: settings, endpoint, course, and its record."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from typing import Literal

from alphafoundry.algorithms.generation import Assignment, GeneratedAlgorithm, Status, no_answer
from alphafoundry.algorithms.progress import Callback, ProgressReporter
from alphafoundry.algorithms.race_course import RaceCourse
from alphafoundry.llm import Completion, ModelEndpoint, ModelMetrics, measure_models
from alphafoundry.market.panel import Panel
from alphafoundry.runs import Progress, Run, Stop, open_run, panel_origin
from alphafoundry.settings import FoundrySettings
from alphafoundry.store import (
    AlgorithmPlan,
    AlgorithmRow,
    DataOrigin,
    ModelRequest,
    finish_algorithm,
    keep_answer,
    open_store,
    plan_algorithms,
    record_model_requests,
)

FLOW = "algorithms"


class AlgorithmsRun:
    """Everything that the steps of one run share.

    Attributes
    ----------
    record : the run itself: its row, its stop, its ending
    settings : the settings of this run, flags included
    store, run_id : the database, and the run's row in it
    course : what is raced on
    endpoint : what is asked
    assignments : what each model is asked, in order
    results : position to what came of it
    taken_over : positions whose model had answered in an interrupted run
    unread : position to an answer that an earlier run got and did not come to judge
    stop : set when the run was asked to end
    progress : where to show how far it is
    bookkeeping : work that nobody needs the outcome of, to be awaited before the run ends
    """

    def __init__(
        self,
        record: Run,
        settings: FoundrySettings,
        course: RaceCourse,
        endpoint: ModelEndpoint,
        assignments: Sequence[Assignment],
        *,
        callback: Callback | None = None,
    ) -> None:
        self.record = record
        self.settings = settings
        self.store = record.store
        self.run_id = record.id
        self.stop = record.stop
        self.progress = record.progress
        self.course = course
        self.endpoint = endpoint
        self.assignments = tuple(assignments)
        self.bookkeeping: set[asyncio.Task[None]] = set()
        self.asking_seconds = 0.0
        self.results: dict[int, GeneratedAlgorithm] = {}
        self.taken_over: frozenset[int] = frozenset()
        self.unread: dict[int, Completion] = {}
        self.reporter = ProgressReporter(callback, len(self.assignments))
        self._rows: list[AlgorithmRow] = []
        self._recorded = 0

    def plan(self) -> list[Assignment]:
        """Record what is to be asked; return what no interrupted run has settled already.

        Of what is returned, those in `unread` have an answer, and only need it judged.
        """
        provider = self.endpoint.provider
        self._rows = plan_algorithms(
            self.store,
            self.run_id,
            self._batch(),
            [
                AlgorithmPlan(
                    model=one.model,
                    provider=provider.name,
                    label=provider.label,
                    prompt_version=one.prompt.version,
                    prompt=one.prompt.text,
                )
                for one in self.assignments
            ],
        )
        for row in self._rows:
            if row.status in ("ready", "refused"):
                self.results[row.position] = _written(row)
            elif row.answer is not None:
                self.unread[row.position] = Completion(row.answer)
        self.taken_over = frozenset({*self.results, *self.unread})
        for position in sorted(self.results):
            self._tell(self.results[position])
        return [one for one in self.assignments if one.position not in self.results]

    def row_id(self, position: int) -> int:
        """Return the id of an algorithm's row."""
        return self._rows[position].id

    def requests_before(self, position: int) -> int:
        """Return how many requests earlier runs sent for what this one has taken over."""
        return self._rows[position].requests

    def keep_answer(self, position: int, completion: Completion, *, requests: int) -> None:
        """Record an answer the moment it is there, before anything else can go wrong."""
        self.save_requests()
        keep_answer(self.store, self.row_id(position), completion.text, requests=requests)

    def keep(self, written: GeneratedAlgorithm) -> None:
        """Record what came of an assignment, its requests included, and tell it."""
        self.save_requests()
        self._store(written)
        self.results[written.position] = written
        self._tell(written)

    def refuse(self, position: int, reason: str) -> None:
        """Record that an algorithm which passed the check of its source failed when tried."""
        before = self.results[position]
        after = GeneratedAlgorithm(
            position,
            before.model,
            "refused",
            answer=before.answer,
            reason=reason,
            requests=before.requests,
        )
        self._store(after)
        self.results[position] = after
        self.reporter.failed(after.model, reason)

    def put_off(self, position: int, reason: str) -> None:
        """Record that the sandbox failed, not the algorithm: the next run judges its answer."""
        before = self.results[position]
        assert before.answer is not None
        keep_answer(self.store, self.row_id(position), before.answer, requests=before.requests)
        self.results[position] = replace(
            before, status="failed", source=None, signature=None, reason=reason
        )
        self.reporter.failed(before.model, reason)

    def give_up(self, reason: str) -> None:
        """Record a placeholder for each model that has not answered."""
        for one in self.assignments:
            if one.position not in self.results:
                self.keep(no_answer(one, reason))

    def ready(self) -> list[GeneratedAlgorithm]:
        """Return the algorithms that can be raced, in the models' order."""
        in_order = (self.results[position] for position in sorted(self.results))
        return [one for one in in_order if one.status == "ready"]

    def metrics(self) -> list[ModelMetrics]:
        """Return the metrics of each model that this run has asked, in the models' order."""
        order = {one.model: one.position for one in reversed(self.assignments)}
        return sorted(measure_models(self.endpoint.records), key=lambda one: order[one.model])

    def save_requests(self) -> None:
        """Record the requests that have ended since the last call."""
        new = self.endpoint.records[self._recorded :]
        self._recorded += len(new)
        provider = self.endpoint.provider
        record_model_requests(
            self.store,
            self.run_id,
            [ModelRequest(**asdict(record)) for record in new],
            provider=provider.name,
            endpoint=provider.endpoint,
        )

    def _store(self, written: GeneratedAlgorithm) -> None:
        status: Literal["ready", "refused", "failed"] = (
            "failed" if written.status == "skipped" else written.status
        )
        finish_algorithm(
            self.store,
            self.row_id(written.position),
            status,
            answer=written.answer,
            source=written.source,
            signature=written.signature,
            reason=written.reason,
            requests=written.requests,
        )

    def _tell(self, written: GeneratedAlgorithm) -> None:
        if written.status == "ready":
            self.reporter.succeeded(written.model, written.source or "")
        elif written.status == "skipped":
            self.reporter.skipped(written.model, written.reason or "unavailable")
        else:
            self.reporter.failed(written.model, written.reason or "error")

    def _batch(self) -> str:
        """Return the key of everything that the answers depend on."""
        provider = self.endpoint.provider
        identity = [
            provider.name,
            provider.endpoint,
            asdict(self.endpoint.sampling),
            [[one.model, one.prompt.text] for one in self.assignments],
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _written(row: AlgorithmRow) -> GeneratedAlgorithm:
    status: Status = "ready" if row.status == "ready" else "refused"
    signature: Literal["simple", "full"] | None = None
    if row.signature is not None:
        signature = "full" if row.signature == "full" else "simple"
    return GeneratedAlgorithm(
        row.position,
        row.model,
        status,
        answer=row.answer,
        source=row.source,
        signature=signature,
        reason=row.reason,
        requests=row.requests,
    )


@contextlib.asynccontextmanager
async def algorithms_run(
    settings: FoundrySettings,
    course: RaceCourse,
    endpoint: ModelEndpoint,
    assignments: Sequence[Assignment],
    *,
    callback: Callback | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> AsyncIterator[AlgorithmsRun]:
    """Open the store, record the run, and record how it ended; closes the endpoint.

    Raises
    ------
    StoreError : no database
    TakenOver : at the end, where the run was presumed dead and another has its work
    """
    url = settings.database_url.get_secret_value() if settings.database_url else None
    try:
        with (
            open_store(url, home=settings.home) as store,
            open_run(
                store,
                flow=FLOW,
                service=endpoint.provider.name,
                market_label=course.panel.label,
                seed=settings.seed,
                settings=settings.model_dump(mode="json", exclude={"database_url"}),
                data=_data_origin(course.panel),
                progress=progress,
                stop=stop,
            ) as record,
        ):
            yield AlgorithmsRun(record, settings, course, endpoint, assignments, callback=callback)
    finally:
        await endpoint.aclose()


def _data_origin(panel: Panel) -> DataOrigin:
    found = panel_origin(panel)
    return found if panel.market is None else replace(found, source=panel.market.source)
