"""An asynchronous client of the WorldQuant BRAIN HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from alphafoundry.brain.addresses import (
    BRAIN_URL,
    absolute_location,
    base_address,
    simulation_at,
)
from alphafoundry.brain.alpha_responses import is_accepted, read_alpha, read_checks, read_rejection
from alphafoundry.brain.credentials import Credentials
from alphafoundry.brain.exchange import Exchange
from alphafoundry.brain.filters import filter_query
from alphafoundry.brain.models import (
    AlphaInfo,
    CheckInfo,
    DataFieldInfo,
    OperatorInfo,
    SimulationStatus,
    SubmissionOutcome,
)
from alphafoundry.brain.responses import call, read_list, read_model, read_object, refusal
from alphafoundry.brain.served_data import ServedData
from alphafoundry.brain.waiting import until_done
from alphafoundry.errors import BrainRequestError, BrainUnavailable
from alphafoundry.retry_after import retry_after
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.super_settings import SuperSettings

if TYPE_CHECKING:
    from alphafoundry.market.screen import DataScreen

SIMULATION_DEADLINE = 30 * 60.0
CHECK_DEADLINE = 10 * 60.0
SUBMISSION_DEADLINE = 20 * 60.0

_DEFAULT_PAUSE = 5.0
_FIELD_PAGE = 50
_LAST_OFFSET = 10_000


class BrainClient:
    """The BRAIN API, of WorldQuant or of a local server; an async context manager.

    Signs in at the first call and again when the session ends, once for all concurrent calls.
    A Retry-After of at most `max_wait_retry_after` seconds is waited here, a longer one is an
    error that carries it. A simulation or submission is never sent twice when it is not known
    whether the first was carried out: BrainUnavailable then has `fate_unknown` True.

    Parameters
    ----------
    base_url : address of the service
    credentials : None where the service wants none (a local server)
    transport : in place of the network, e.g. `in_process(app)` for a server in this process
    timeout : seconds until one answer must have come
    max_wait_retry_after : seconds
    on_persona : called with a message and link when BRAIN wants a biometric check; None raises
        PersonaRequired
    persona_timeout : seconds that the person has for it
    patience : whole seconds that a server in this process may keep an answer back until the
        simulation has ended, so that it need not be asked again and again; 0 for any other server
    screen : what the data of a server in this process are; None where another has them

    All methods raise AuthenticationError, RateLimited, BrainUnavailable and BrainRequestError.
    """

    def __init__(
        self,
        base_url: str = BRAIN_URL,
        credentials: Credentials | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 30.0,
        max_wait_retry_after: float = 5.0,
        on_persona: Callable[[str], None] | None = None,
        persona_timeout: float = 600.0,
        patience: int = 0,
        screen: DataScreen | None = None,
    ) -> None:
        self.screen = screen
        self._look = {"Prefer": f"wait={patience}"} if patience else None
        self._base = base_address(base_url)
        self._exchange = Exchange(
            self._base,
            credentials,
            transport=transport,
            timeout=timeout,
            max_wait_retry_after=max_wait_retry_after,
            on_persona=on_persona,
            persona_timeout=persona_timeout,
        )

    def __repr__(self) -> str:
        return f"BrainClient({str(self._base)!r}, service={self.service!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    @property
    def service(self) -> str:
        """What answers: "worldquant", "local:<market>.<rules>", or the host until known."""
        return self._exchange.service

    @property
    def market_label(self) -> str | None:
        """The label of a local server's market, None before the first answer or elsewhere."""
        return self._exchange.market_label

    @property
    def data(self) -> ServedData | None:
        """The market and data version of a local server, None where `market_label` is."""
        return self._exchange.data

    async def authenticate(self) -> dict[str, Any]:
        """Sign in now; return BRAIN's description of the account (user, token, permissions)."""
        return await self._exchange.sign_in()

    async def operators(self) -> list[OperatorInfo]:
        """Return every operator that this account may use."""
        response = await self._get("/operators")
        return [read_model(response, OperatorInfo, item) for item in read_list(response)]

    async def data_fields(
        self,
        settings: SimulationSettings | None = None,
        *,
        dataset: str | None = None,
        type: str | None = None,
        search: str | None = None,
        least_coverage: float = 0.0,
        least_users: int = 0,
    ) -> list[DataFieldInfo]:
        """Return all data fields for the region, delay and universe of `settings`.

        Where there are more than BRAIN shows in one list, each data set is asked for its own.

        Parameters
        ----------
        settings : None is USA, TOP3000, delay 1
        dataset : id of a data set
        type : MATRIX, VECTOR or GROUP
        search : text in the name or description
        least_coverage : least share of instruments that have a value
        least_users : fewest users of a field
        """
        query: dict[str, object] = {
            **_place(settings),
            "dataset.id": dataset,
            "type": type,
            "search": search,
            "coverage>=": least_coverage or None,
            "userCount>=": least_users or None,
        }
        if dataset is None:
            first = await self._get(f"/data-fields?{filter_query({**query, 'limit': 1})}")
            if _count(read_object(first)) > _LAST_OFFSET:
                sets = await self.data_sets(settings)
                queries = [{**query, "dataset.id": one} for one in sets]
                return [field for each in queries for field in await self._data_fields(each)]
        return await self._data_fields(query)

    async def data_sets(self, settings: SimulationSettings | None = None) -> list[str]:
        """Return the ids of all data sets for the region, delay and universe of `settings`."""
        query = filter_query({**_place(settings), "limit": _FIELD_PAGE})
        return [str(item.get("id")) async for _, item in self._pages("/data-sets", query)]

    async def _data_fields(self, query: Mapping[str, object]) -> list[DataFieldInfo]:
        written = filter_query({**query, "limit": _FIELD_PAGE})
        return [
            read_model(response, DataFieldInfo, item)
            async for response, item in self._pages("/data-fields", written)
        ]

    async def post_simulation(
        self, expression: str, settings: SimulationSettings | Mapping[str, object]
    ) -> str:
        """Start a simulation; return its absolute address.

        Raises
        ------
        RateLimited : kind "concurrent", "daily" or "rate"; nothing was started
        BrainUnavailable : with `fate_unknown` where it may have been started
        BrainRequestError : the settings were refused
        """
        return await self._post(_regular(expression, settings))

    async def post_simulations(
        self,
        simulations: Iterable[tuple[str, SimulationSettings | Mapping[str, object]]],
    ) -> str:
        """Start 2 to 10 simulations that run one after another; return their parent's address.

        simulations : pairs of expression and settings; type, instrument type, region, delay and
            language must be the same

        The parent's status has the ids of its `children` once it is finished; each is read at
        `/simulations/{id}`. Where one fails, the parent is an ERROR and those after it are
        CANCELLED. Raises as `post_simulation`.
        """
        return await self._post([_regular(*simulation) for simulation in simulations])

    async def post_super_simulation(
        self, selection: str, combo: str, settings: SuperSettings | Mapping[str, object]
    ) -> str:
        """Start the simulation of a SUPER alpha; return its absolute address.

        Parameters
        ----------
        selection : weight of each of the account's alphas by its properties
        combo : weight of each chosen alpha and day

        Raises as `post_simulation`.
        """
        return await self._post(
            {
                "type": "SUPER",
                "settings": _settings(settings),
                "combo": combo,
                "selection": selection,
            }
        )

    async def _post(self, body: dict[str, Any] | list[dict[str, Any]]) -> str:
        response = await self._exchange.send("POST", "/simulations", json=body, once_only=True)
        if 400 <= response.status_code < 500:
            raise refusal(response)
        location = simulation_at(response.headers.get("location", ""), self._base)
        if response.status_code != 201 or location is None:
            raise BrainUnavailable(
                f"{call(response)}: BRAIN answered {response.status_code} without the address "
                "of a simulation",
                status=response.status_code,
                fate_unknown=True,
            )
        return str(location)

    async def get_simulation(self, location: str) -> SimulationStatus:
        """Look at a simulation once.

        location : as `post_simulation` returned it, absolute or relative
        """
        response = await self._get(absolute_location(location, self._base), headers=self._look)
        status = read_model(response, SimulationStatus, read_object(response))
        return status.model_copy(update={"retry_after": retry_after(response.headers)})

    async def poll_simulation(
        self, location: str, *, deadline: float = SIMULATION_DEADLINE
    ) -> SimulationStatus:
        """Wait until a simulation is finished, looking as often as BRAIN asks.

        A finished simulation may be a failed one: see `SimulationStatus.status`.

        Raises BrainUnavailable where it is not finished after `deadline` seconds, or where five
        looks in a row failed; BrainRequestError with status 404 where BRAIN does not know it.
        """
        return await until_done(
            lambda: self.get_simulation(location),
            lambda status: (
                None
                if status.finished
                else status.retry_after
                if status.retry_after is not None
                else _DEFAULT_PAUSE
            ),
            deadline=deadline,
            what=f"simulation {location.rsplit('/', 1)[-1]}",
        )

    async def cancel_simulation(self, location: str) -> None:
        """Stop a simulation that runs."""
        response = await self._exchange.send("DELETE", absolute_location(location, self._base))
        if response.status_code >= 400:
            raise refusal(response)

    async def alpha(self, alpha_id: str) -> AlphaInfo:
        """Return an alpha. Raises BrainRequestError with status 404 where it does not exist."""
        response = await self._get(_alpha_path(alpha_id))
        return read_alpha(response, read_object(response))

    async def patch_alpha(self, alpha_id: str, changes: Mapping[str, object]) -> AlphaInfo:
        """Change name, color, tags, category, favorite, hidden or a description.

        A description is that of regular, combo or selection: {"regular": {"description": ...}}.
        """
        response = await self._exchange.send("PATCH", _alpha_path(alpha_id), json=dict(changes))
        if response.status_code != 200:
            raise refusal(response)
        return read_alpha(response, read_object(response))

    async def alphas(self, *, page_size: int = 100, **filters: object) -> AsyncIterator[AlphaInfo]:
        """Go through the account's alphas, newest first unless `order` says otherwise.

        Parameters
        ----------
        page_size : alphas per request, at most 100
        filters : BRAIN's names, with an operator (>=, >, <=, <, !=, ~) at the end where it is
            not equality: `client.alphas(**{"status": "UNSUBMITTED", "is.fitness>=": 1})`.
            A list means one of these. `order` as "-dateCreated" or "is.sharpe"

        Raises BrainRequestError past 10,000 alphas, BRAIN's limit: narrow the filters.
        """
        query = filter_query({"order": "-dateCreated", **filters, "limit": page_size})
        seen: set[str] = set()
        async for response, item in self._pages("/users/self/alphas", query):
            alpha = read_alpha(response, item)
            # Alphas made meanwhile shift the pages, so that one may come again.
            if alpha.id not in seen:
                seen.add(alpha.id)
                yield alpha

    async def check(self, alpha_id: str, *, deadline: float = CHECK_DEADLINE) -> list[CheckInfo]:
        """Have BRAIN compute the checks of a submission, without submitting; return them."""
        response = await self._computed(f"{_alpha_path(alpha_id)}/check", deadline)
        return list(read_checks(response))

    async def gain_to_pool(
        self, alpha_id: str, *, deadline: float = CHECK_DEADLINE
    ) -> float | None:
        """Return what an alpha would add to the score of the account's submitted alphas.

        None where BRAIN does not compare this alpha, or gives no scores.
        """
        path = f"/users/self{_alpha_path(alpha_id)}/before-and-after-performance"
        try:
            content = read_object(await self._computed(path, deadline))
        except BrainRequestError:
            return None
        score = content.get("score")
        if not isinstance(score, dict):
            return None
        before, after = score.get("before"), score.get("after")
        if not isinstance(before, int | float) or not isinstance(after, int | float):
            return None
        return float(after) - float(before)

    async def submit(
        self, alpha_id: str, *, deadline: float = SUBMISSION_DEADLINE
    ) -> SubmissionOutcome:
        """Submit an alpha and wait for the verdict.

        Raises BrainUnavailable, with `fate_unknown` where the request may have arrived, or
        where the verdict did not come within `deadline` seconds.
        """
        outcome = await self.post_submit(alpha_id)
        if outcome.status != "started":
            return outcome
        return await self.poll_submit(alpha_id, deadline=deadline)

    async def post_submit(self, alpha_id: str) -> SubmissionOutcome:
        """Ask for the submission of an alpha; "started" where BRAIN is still checking."""
        response = await self._exchange.send(
            "POST", f"{_alpha_path(alpha_id)}/submit", once_only=True
        )
        pause = retry_after(response.headers)
        if response.status_code == 201 or (response.status_code == 200 and pause is not None):
            return SubmissionOutcome(status="started", retry_after=pause)
        if is_accepted(response):
            return SubmissionOutcome(status="accepted")
        if response.status_code == 403:
            return read_rejection(response)
        if 400 <= response.status_code < 500:
            raise refusal(response)
        raise BrainUnavailable(
            f"{call(response)}: BRAIN's answer does not say whether the alpha is submitted",
            status=response.status_code,
            fate_unknown=True,
        )

    async def poll_submit(
        self, alpha_id: str, *, deadline: float = SUBMISSION_DEADLINE
    ) -> SubmissionOutcome:
        """Wait for the verdict on a submission that was started.

        BRAIN answers 404 once the alpha is submitted, so for an alpha that was never sent, or
        does not exist, this means nothing.
        """
        response = await until_done(
            lambda: self._look_at_submission(alpha_id),
            _pause_of,
            deadline=deadline,
            what=f"the submission of alpha {alpha_id}",
        )
        if response.status_code == 403:
            return read_rejection(response)
        if response.status_code in (200, 404):
            return SubmissionOutcome(status="accepted")
        raise refusal(response)

    async def _look_at_submission(self, alpha_id: str) -> httpx.Response:
        response = await self._exchange.send("GET", f"{_alpha_path(alpha_id)}/submit")
        if response.status_code < 400 and _pause_of(response) is None and not is_accepted(response):
            raise BrainUnavailable(
                f"{call(response)}: BRAIN's answer does not say whether the alpha is submitted",
                status=response.status_code,
            )
        return response

    async def record_set(
        self, alpha_id: str, name: str, *, deadline: float = CHECK_DEADLINE
    ) -> dict[str, Any]:
        """Return a record set ("pnl", "yearly-stats", ...) as {"schema": ..., "records": ...}."""
        path = f"{_alpha_path(alpha_id)}/recordsets/{quote(name, safe='')}"
        return read_object(await self._computed(path, deadline))

    async def daily_pnl(self, alpha_id: str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return the alpha's PnL per day.

        Returns
        -------
        dates : datetime64[D] array of shape (n_days,), ascending
        pnl : float64 array of shape (n_days,), dollars; NaN where BRAIN gave none
        """
        content = await self.record_set(alpha_id, "daily-pnl")
        try:
            names = [column["name"] for column in content["schema"]["properties"]]
            date, amount = names.index("date"), next(i for i, n in enumerate(names) if "pnl" in n)
            rows = content["records"]
            dates = np.array([row[date] for row in rows], dtype="datetime64[D]")
            pnl = np.array([row[amount] for row in rows], dtype=np.float64)
        except (KeyError, IndexError, TypeError, ValueError, StopIteration):
            raise BrainUnavailable(
                f"alpha {alpha_id}: the daily-pnl record set cannot be read"
            ) from None
        return dates, pnl

    async def _get(
        self, path: str | httpx.URL, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        response = await self._exchange.send("GET", path, headers=headers)
        if response.status_code != 200:
            raise refusal(response)
        return response

    async def _pages(
        self, path: str, query: str
    ) -> AsyncIterator[tuple[httpx.Response, dict[str, Any]]]:
        offset = 0
        while True:
            response = await self._get(f"{path}?{query}&offset={offset}")
            content = read_object(response)
            items = read_list(response)
            for item in items:
                yield response, item
            offset += len(items)
            if not items or offset >= _count(content):
                return
            if offset >= _LAST_OFFSET:
                raise BrainRequestError(
                    f"{path}: {content['count']} entries, and BRAIN shows the first "
                    f"{_LAST_OFFSET}; narrow the filters, for example by dateCreated",
                    status=400,
                )

    async def _computed(self, path: str, deadline: float) -> httpx.Response:
        """Return the answer to a GET that BRAIN computes while it is asked."""
        return await until_done(
            lambda: self._get(path), _pause_of, deadline=deadline, what=path.lstrip("/")
        )


def _regular(
    expression: str, settings: SimulationSettings | Mapping[str, object]
) -> dict[str, Any]:
    return {"type": "REGULAR", "settings": _settings(settings), "regular": expression}


def _settings(settings: SimulationSettings | Mapping[str, object]) -> dict[str, object]:
    return settings.to_brain() if isinstance(settings, SimulationSettings) else dict(settings)


def _place(settings: SimulationSettings | None) -> dict[str, object]:
    chosen = settings or SimulationSettings()
    return {
        "instrumentType": chosen.instrument_type,
        "region": chosen.region,
        "delay": chosen.delay,
        "universe": chosen.universe,
    }


def _count(content: Mapping[str, Any]) -> int:
    count = content.get("count")
    return count if isinstance(count, int) else 0


def _alpha_path(alpha_id: str) -> str:
    return f"/alphas/{quote(alpha_id, safe='')}"


def _pause_of(response: httpx.Response) -> float | None:
    return retry_after(response.headers) if response.status_code == 200 else None
