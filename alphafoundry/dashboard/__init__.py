"""The web dashboard over the store, the supervisor's database and Prefect.

    access = Access(home / "dashboard", port=4210)
    application = create_application(Sources(store, home), access)

It is an ASGI application; `python -m flows.web` serves it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Access": "access",
    "Cap": "sources",
    "Deployment": "sources",
    "FlowRun": "sources",
    "NotSignedIn": "access",
    "Prefect": "sources",
    "PrefectView": "sources",
    "Sources": "sources",
    "WithoutPrefect": "sources",
    "create_application": "application",
}
"""Public names to their modules; who only makes a link imports no web server and no pages."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
