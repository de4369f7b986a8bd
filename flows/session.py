"""A supervision as one flow run: `flows.supervise` starts this, and so does its deployment."""

from __future__ import annotations

from prefect import flow

from alphafoundry.settings import load_settings
from alphafoundry.supervisor import database
from alphafoundry.supervisor.report import SupervisionReport, read_report
from tasks.prefect.cancellation import MESSAGE
from tasks.publishing import publish
from tasks.run import run_context
from tasks.supervisor.view import View, end_supervision, inside_supervision, own_supervision


@flow(name="supervise", flow_run_name="keep the processes alive")
async def supervise(
    runtime: float | None = None,
    config: str = "config/processes.yaml",
    only: list[str] | None = None,
    steps_hours: float | None = None,
) -> SupervisionReport:
    """Show a supervision in Prefect, from its start to its report.

    Started by a supervisor it shows that one. Started by a worker it runs one of its own, which
    ends with it: after `runtime` minutes, or when the run is cancelled. With `steps_hours` it
    deletes flow runs that ended so long ago inside a run that goes on.
    """
    home = load_settings().home
    async with run_context() as context:
        view = View(home, steps_hours=steps_hours)
        if inside_supervision():
            await view.follow(context.stop)
            if context.stop.reason == MESSAGE:
                end_supervision(home, "cancelled in Prefect")
        else:
            async with own_supervision(home, runtime=runtime, config=config, only=only):
                await view.follow(context.stop)
        report = read_report(home / database.FILE)
        await publish(report)
        return report


if __name__ == "__main__":
    import argparse

    from flows.command_line import Command, Parameters, main

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--steps-hours",
            type=float,
            metavar="H",
            help="how long ended flow runs inside one that goes on are kept (default: for ever)",
        )

    def prepare(arguments: Parameters) -> Parameters:
        return {"steps_hours": arguments.pop("steps_hours")}

    main(
        supervise,
        Command(
            "flows.session", add_arguments=add_arguments, prepare=prepare, interrupted_status=0
        ),
    )
