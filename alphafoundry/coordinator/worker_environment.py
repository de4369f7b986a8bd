"""The environment of a worker process: what a trial may need, without anything that signs in."""

from __future__ import annotations

import re
from collections.abc import Mapping

OWN_PREFIXES = ("FOUNDRY_", "PREFECT_")
"""Settings of this program and of Prefect: a worker is told all it needs, so it gets none."""

_SECRET_NAME = re.compile(
    r"(^|_)(API_?KEY|KEY|KEYS|TOKEN|TOKENS|PASS|PASSWD|PASSWORD|PASSPHRASE|PWD|SECRET|SECRETS"
    r"|CREDENTIAL|CREDENTIALS|AUTH|COOKIE|DSN|PAT)(_|$)"
    r"|APIKEY|TOKEN|PASSWORD|SECRET|CREDENTIAL",
    re.IGNORECASE,
)
_LOGIN_IN_ADDRESS = re.compile(r"://[^/?#\s]*@")

NOT_SECRET = frozenset({"PWD", "OLDPWD"})

ONE_THREAD: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environment` that a worker may have, and one thread per library.

    Left out are those whose name or value looks like a credential (API keys, tokens, passwords,
    addresses with a login) and the settings of this program and of Prefect. A strategy's own
    variables stay. A process of the same user can still look elsewhere for secrets: code that
    nobody trusts belongs in the sandbox of `alphafoundry.algorithms`.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in NOT_SECRET or not _is_private(name, value)
    }
    return {**kept, **ONE_THREAD}


def _is_private(name: str, value: str) -> bool:
    return (
        name.startswith(OWN_PREFIXES)
        or _SECRET_NAME.search(name) is not None
        or _LOGIN_IN_ADDRESS.search(value) is not None
    )
