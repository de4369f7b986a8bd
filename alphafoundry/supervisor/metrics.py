"""What `supervisor.db` says, as Prometheus reads it: `python -m alphafoundry.supervisor.metrics`.

Serves GET /metrics to programs of this machine; each answer is read from the database.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from alphafoundry.errors import FoundryError, os_error_in_one_line
from alphafoundry.supervisor import child, database
from alphafoundry.supervisor.control import SupervisorError, is_running
from alphafoundry.supervisor.reading import Status, moment_of, read_status, reading

EXIT_ERROR = 2
PORT = 9464
_HOSTS = ("127.0.0.1", "localhost")


class StoreCollector(Collector):
    """Reads a home at each scrape; before anything was supervised there is `foundry_up` alone."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        running = is_running(self._home)
        yield GaugeMetricFamily("foundry_up", "Whether a supervisor runs.", value=float(running))
        path = self._home / database.FILE
        try:
            status = read_status(path)
            with reading(path) as connection:
                counts = list(_counts(connection))
        except SupervisorError:
            return
        yield from _of_processes(status)
        yield from _of_machine(status)
        yield from counts
        size = sum(one.stat().st_size for one in self._home.glob(f"{database.FILE}*"))
        yield GaugeMetricFamily(
            "foundry_database_bytes", "Size of supervisor.db with its WAL.", value=float(size)
        )


_PROCESS_GAUGES: tuple[tuple[str, str, str, float], ...] = (
    ("health", "health", "Health, 0 to 1, while it lives.", 1.0),
    ("cpu_cores", "cpu_percent", "Cores in use by its whole tree.", 0.01),
    ("memory_bytes", "rss", "Memory of its whole tree.", 1.0),
    ("restarts", "restarts", "Unasked restarts in its window.", 1.0),
    ("most_restarts", "max_restarts", "Restarts that are allowed in its window.", 1.0),
)
"""Name, column, help and factor of what each row of `processes` gives."""


def _of_processes(status: Status) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "foundry_process_state", "1 for the state that it is in.", labels=["process", "state"]
    )
    for row in status.processes:
        state.add_metric([row["name"], row["state"].replace(" ", "_")], 1.0)
    yield state
    for name, column, told, factor in _PROCESS_GAUGES:
        metric = GaugeMetricFamily(f"foundry_process_{name}", told, labels=["process"])
        for row in status.processes:
            if row[column] is not None:
                metric.add_metric([row["name"]], factor * row[column])
        yield metric
    turns = CounterMetricFamily(
        "foundry_process_turns", "Turns that ended well in this supervision.", labels=["process"]
    )
    for row in status.processes:
        turns.add_metric([row["name"]], row["turns"])
    yield turns


def _of_machine(status: Status) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "foundry_needs_person", "Alerts that stand.", value=float(len(status.needs_you))
    )
    yield GaugeMetricFamily(
        "foundry_rows_lost",
        "Rows that could not be written.",
        value=float(status.supervision["statements_lost"]),
    )
    machine = status.machine
    if machine is None:
        return
    age = (datetime.now(UTC) - moment_of(machine["at"])).total_seconds()
    for name, told, value in (
        ("sample_age_seconds", "Age of the last sample.", age),
        ("machine_memory_ratio", "Memory in use, 0 to 1.", machine["memory_percent"] / 100),
        ("machine_load", "Load of one minute.", machine["load"]),
        ("machine_disk_free_bytes", "Free disk of the home.", machine["disk_free"] or 0),
    ):
        yield GaugeMetricFamily(f"foundry_{name}", told, value=float(value))


def _counts(connection: sqlite3.Connection) -> Iterator[Metric]:
    for name, told, label, text in (
        (
            "foundry_process_lives",
            "Lives and turns that ended, by cause; old ones are deleted (retention).",
            "cause",
            "SELECT process, cause AS label, count(*) AS n FROM process_runs "
            "WHERE ended_at IS NOT NULL GROUP BY process, cause",
        ),
        (
            "foundry_events",
            "Events by severity; old ones are deleted (retention).",
            "severity",
            "SELECT process, severity AS label, count(*) AS n FROM process_events "
            "GROUP BY process, severity",
        ),
    ):
        metric = GaugeMetricFamily(name, told, labels=["process", label])
        for row in connection.execute(text):
            metric.add_metric([row["process"] or "supervisor", row["label"] or "none"], row["n"])
        yield metric


def metrics_text(home: Path) -> str:
    """Return every metric in Prometheus' text form."""
    return generate_latest(_registry(home)).decode()


def _registry(home: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(home))
    return registry


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds for a caller that says nothing

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a scrape every few seconds is no news."""


Start = Callable[..., Any]


def application(home: Path) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """Return the WSGI application: /metrics, under a host name of this machine alone."""
    serve = make_wsgi_app(_registry(home))

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).rpartition(":")[0] or environ.get("HTTP_HOST", "")
        if host not in _HOSTS:
            start("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"foreign host name\n"]
        if environ.get("PATH_INFO") != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"GET /metrics\n"]
        found: Iterable[bytes] = serve(environ, start)
        return found

    return answer


def serving(web: Callable[..., Iterable[bytes]], port: int) -> WSGIServer:
    """Return a server of this machine, in which a caller that says nothing keeps nobody waiting."""
    return make_server("127.0.0.1", port, web, ThreadingWSGIServer, _Quiet)


def main(words: Sequence[str] | None = None) -> int:
    """Serve until the process is ended; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry.supervisor.metrics", description=__doc__, allow_abbrev=False
    )
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    parser.add_argument("--home", type=Path, default=home, help="(default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="(default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="print them and end")
    given = parser.parse_args(words)
    try:
        if given.once:
            sys.stdout.write(metrics_text(given.home))
            return 0
        with serving(application(given.home), given.port) as server:
            sys.stdout.write(f"metrics: http://127.0.0.1:{server.server_port}/metrics\n")
            sys.stdout.flush()
            child.ready()
            server.serve_forever()
    except OverflowError:
        line = f"--port {given.port}: is not a port from 0 to 65535"
    except FoundryError as problem:
        line = str(problem)
    except OSError as problem:
        line = f"port {given.port}: {os_error_in_one_line(problem)}; choose another --port"
    except KeyboardInterrupt:
        return 0
    sys.stderr.write(f"error: {line}\n")
    return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
