"""The web dashboard over the store, the supervisor's database and Prefect.

    access = Access(home / "dashboard", port=4210)
    application = create_application(Sources(store, home), access)

It is an ASGI application; `python -m flows.web` serves it.
"""

from alphafoundry.dashboard.access import Access, NotSignedIn
from alphafoundry.dashboard.application import create_application
from alphafoundry.dashboard.sources import (
    Cap,
    Deployment,
    FlowRun,
    Prefect,
    PrefectView,
    Sources,
    WithoutPrefect,
)

__all__ = [
    "Access",
    "Cap",
    "Deployment",
    "FlowRun",
    "NotSignedIn",
    "Prefect",
    "PrefectView",
    "Sources",
    "WithoutPrefect",
    "create_application",
]
