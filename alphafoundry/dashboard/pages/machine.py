"""Machine: room left in memory and on disk, growth of databases, caps in use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from fastapi import APIRouter, Request
from sqlalchemy import text
from starlette.responses import Response

from alphafoundry.dashboard.asking import sources_of
from alphafoundry.dashboard.charts import Chart
from alphafoundry.dashboard.rendering import render
from alphafoundry.dashboard.sources import NothingYet, Sources
from alphafoundry.dashboard.tables import Given
from alphafoundry.supervisor.reading import moment_of

router = APIRouter()
TABLES = ()

DAY = 86_400.0
LEAST_HOURS = 1.0
"""Of samples, without which nothing is said about growth."""


@router.get("/machine")
def machine(request: Request) -> Response:
    """Show what room there is, and when it will be used up."""
    sources = sources_of(request)
    disk = shutil.disk_usage(sources.home)
    memory = psutil.virtual_memory()
    return render(
        request,
        "machine.html",
        page="machine",
        title="Machine",
        disk=disk,
        memory=memory,
        load=psutil.getloadavg(),
        cores=psutil.cpu_count() or 1,
        files=_files(sources.home),
        growth=_growth(sources, disk.free),
        prefect=sources.prefect.view(),
    )


def _files(home: Path) -> list[tuple[str, int]]:
    """Return the databases and folders of the home with their sizes, the largest first."""
    found = []
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.suffix in (".sqlite", ".db"):
            parts = [path, *(Path(f"{path}{end}") for end in ("-wal", "-shm"))]
            found.append((path.name, sum(one.stat().st_size for one in parts if one.exists())))
    prefect = home / "prefect" / "prefect.db"
    if prefect.exists():
        found.append(("prefect/prefect.db", prefect.stat().st_size))
    return sorted(found, key=lambda one: -one[1])


def _growth(sources: Sources, free: int) -> dict[str, float] | None:
    """Return bytes a day by which the free disk shrinks, and days until it is full."""
    try:
        with sources.connect("supervisor") as connection:
            rows = connection.execute(
                text(
                    "SELECT at, disk_free FROM machine_usage WHERE disk_free IS NOT NULL "
                    "AND at > datetime('now', '-2 days') ORDER BY at"
                )
            ).all()
    except NothingYet:
        return None
    if len(rows) < 3:
        return None
    at = np.array([moment_of(row[0]).timestamp() for row in rows])
    hours = (at[-1] - at[0]) / 3600
    if hours < LEAST_HOURS:
        return None
    used = -np.polyfit(at - at[0], np.array([float(row[1]) for row in rows]), 1)[0] * DAY
    return {"hours": hours, "daily": float(used), "days": free / used if used > 0 else float("inf")}


def machine_chart(sources: Sources, given: Given) -> Chart:
    """Return memory in use and load of the machine."""
    try:
        with sources.connect("supervisor") as connection:
            rows: list[Any] = list(
                connection.execute(
                    text(
                        "SELECT at, memory_percent, load FROM machine_usage "
                        "WHERE at > datetime('now', '-2 days') ORDER BY at"
                    )
                )
            )
    except NothingYet:
        rows = []
    what = given.get("what", "memory")
    at = np.array([moment_of(row[0]).timestamp() for row in rows])
    if what == "load":
        values = {"load": np.array([float(row[2]) for row in rows])}
        return Chart("Load", at, values, unit="")
    values = {"memory": np.array([row[1] / 100 for row in rows])}
    return Chart("Memory in use", at, values, unit="percent")


CHARTS = {"machine": machine_chart}
