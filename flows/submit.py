"""Submit the alphas that pass every check, within the daily limit: `python -m flows.submit`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import AlphasReport
from tasks.research.opening import judge_finalists
from tasks.research.run import publish_research, run_of_research
from tasks.research.submission import choose, reconcile, submit_alpha


@flow(name="submit", flow_run_name="submit the best")
async def submit(
    brain: str | None = None,
    market: str | None = None,
    holdout: float | None = None,
    credentials: str | None = None,
) -> AlphasReport:
    """Submit the alphas whose checks all pass, by verdict, within the daily limit."""
    async with run_of_research("submit", locals()) as run:
        await reconcile(run)
        if run.top_level:
            await judge_finalists(run)
        for alpha in await choose(run):
            if run.stop.is_set() or not await submit_alpha(run, alpha):
                break
        return await publish_research(run)


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(submit, Command("flows.submit", check=check_research))
