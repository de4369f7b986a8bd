"""Submit the alphas that pass every check, within the daily limit: `python -m flows.submit`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import Report
from tasks.research.publishing import publish_report
from tasks.research.submission import choose, reconcile, submit_alpha
from tasks.research.workbench import workbench


@flow(name="submit", flow_run_name="submit the best")
async def submit(
    brain: str | None = None,
    market: str | None = None,
    credentials: str | None = None,
) -> Report:
    """Submit the alphas whose checks all pass, least correlated first, within the daily limit."""
    async with workbench("submit", locals()) as bench:
        await reconcile(bench)
        for alpha in await choose(bench):
            if not await submit_alpha(bench, alpha):
                break
        return await publish_report(bench)


if __name__ == "__main__":
    from flows.command_line import run

    run(submit, "flows.submit")
