"""Templates and how values look on a page; everything from outside is escaped."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from alphafoundry.dashboard.access import Session
from alphafoundry.dashboard.asking import read_table
from alphafoundry.dashboard.tables import Column, Row, Table
from alphafoundry.supervisor.reading import span

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
NAVIGATION = (
    ("now", "/", "Now", "n"),
    ("alphas", "/alphas", "Alphas", "a"),
    ("runs", "/runs", "Runs", "r"),
    ("workflows", "/workflows", "Workflows", "w"),
    ("algorithms", "/algorithms", "Algorithms", "l"),
    ("data", "/data", "Data", "d"),
    ("desk", "/desk", "Desk", "k"),
    ("agents", "/agents", "Agents", "e"),
    ("processes", "/processes", "Processes", "p"),
    ("machine", "/machine", "Machine", "m"),
)
"""Name, address and label of each page, and the letter that opens it after `g`."""

GONE = "–"


def environment() -> Environment:
    """Return the environment of the templates."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "shown": shown,
        "number": number,
        "percent": percent,
        "dollars": dollars,
        "quantity": quantity,
        "breakable": breakable,
        "moment": moment,
        "day": day,
        "size": size,
        "lasting": length,
        "ticked": ticked,
        "path": lambda value: quote(str(value), safe=""),
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False, default=str),
    }
    made.globals |= {
        "navigation": NAVIGATION,
        "cell": cell,
        "sharpe_column": Column("sharpe", "Sharpe ratio", "sharpe"),
        "link_of": link_of,
        "query": query,
        "gone": GONE,
        "asset": _assets(),
    }
    return made


def load_all(templates: Environment) -> None:
    """Compile every template, so that no page has to."""
    for name in templates.list_templates(["html"]):
        templates.get_template(name)


def render(
    request: Request, template: str, *, page: str, title: str, status: int = 200, **context: Any
) -> HTMLResponse:
    """Return a page.

    page : of the navigation; title : of the browser's window
    """
    state = request.app.state
    session: Session | None = getattr(request.state, "session", None)
    facts = state.facts.look() if session is not None else None
    body = state.templates.get_template(template).render(
        page=page,
        title=title,
        facts=facts,
        session=session,
        here=request.url.path,
        given=dict(request.query_params),
        now=state.sources.now(),
        nonce=lambda: state.access.nonce(session) if session else "",
        **context,
    )
    return HTMLResponse(body, status)


def render_list(
    request: Request, table: Table, *, page: str, title: str = "", back: bool = True, **fixed: str
) -> HTMLResponse:
    """Return a page that is one table.

    title : of the table where there is none
    back : whether it leads back to the address above its own
    fixed : filters that the address sets
    """
    return render(
        request,
        "list.html",
        page=page,
        title=title or table.title,
        table=read_table(request, table, **fixed),
        back=back,
        fixed=tuple(fixed),
    )


def shown(value: Any, kind: str = "text") -> Any:
    """Return a value as a page shows it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Markup('<span class="none">{}</span>').format(GONE)
    return _SHOWN.get(kind, safe_text)(value)


def _status(value: Any) -> Any:
    text = safe_text(value)
    word = re.sub(r"[^a-z]+", "-", text.lower()).strip("-")
    return Markup('<span class="status is-{}">{}</span>').format(word, text)


def _printable(value: Any) -> Any:
    """Return what a template puts out: text from outside in a form that only shows."""
    return value if isinstance(value, Markup | int | float) else safe_text(value)


def safe_text(value: Any) -> str:
    """Return text without control characters and without what turns the direction of writing."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


def ticked(value: Any) -> Any:
    """Return a sentence with what stands between back-ticks as code."""
    parts = safe_text(value).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def number(value: float | None) -> str:
    """Return a number with two decimals."""
    if value is None or not math.isfinite(value):
        return GONE
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Return a fraction as percent."""
    return GONE if value is None or not math.isfinite(value) else f"{100 * value:,.1f} %"


def dollars(value: float | None) -> str:
    """Return dollars."""
    if value is None or not math.isfinite(value):
        return GONE
    return f"{value:,.0f} $" if abs(value) >= 1000 else f"{value:,.2f} $"


def quantity(value: float | None) -> str:
    """Return a count that may have a fraction, such as shares, with up to six decimals."""
    if value is None or not math.isfinite(value):
        return GONE
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def parts_of(value: Mapping[str, float]) -> str:
    """Return named amounts in dollars, those that are nothing left out."""
    told = [
        f"{name.replace('_', ' ')} {dollars(amount)}" for name, amount in value.items() if amount
    ]
    return ", ".join(told) or GONE


def breakable(value: Any) -> Any:
    """Return a name that may go on in the next line after an underscore."""
    return Markup("_<wbr>").join(safe_text(value).split("_"))


def size(value: float | None) -> str:
    """Return bytes in a unit that fits."""
    if value is None:
        return GONE
    for unit in ("B", "KB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "KB", "MB") else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def length(seconds: float | None) -> str:
    """Return seconds as a length of time."""
    if seconds is None:
        return GONE
    return f"{seconds:.2g} s" if seconds < 10 else span(seconds)


def moment(value: datetime | str | None) -> Any:
    """Return a moment in UTC, which the page's script turns into the chosen zone."""
    if value is None:
        return GONE
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M:%S")
    )


def day(value: date | str | None) -> str:
    """Return a day."""
    return GONE if value is None else str(value)[:10]


_SHOWN: dict[str, Any] = {
    "number": number,
    "sharpe": number,
    "integer": lambda value: f"{value:,}",
    "percent": percent,
    "dollars": dollars,
    "quantity": quantity,
    "parts": parts_of,
    "bytes": size,
    "seconds": length,
    "time": moment,
    "day": day,
    "yes": lambda value: "yes" if value else "",
    "status": _status,
    "code": lambda value: Markup("<code>{}</code>").format(safe_text(value)),
}


def cell(row: Row, column: Column) -> Any:
    """Return a cell of a table."""
    value = row.get(column.key)
    text = shown(value, column.kind)
    if column.link and value not in (None, ""):
        text = Markup('<a href="{}">{}</a>').format(link_of(column.link, row), text)
    if column.kind == "sharpe" and "dsr" in row:
        text = Markup('{} <small class="beside">{}</small>').format(text, evidence(row))
    return text


def data_to(row: Row) -> str:
    """Return to which day the data of a row reaches, "" where that is not known."""
    return "" if row["data_until"] is None else f"data to {row['data_until']}"


def evidence(row: Row) -> Any:
    """Return what stands beside a Sharpe ratio, in a few words."""
    parts = []
    if row.get("low") is not None and row.get("high") is not None:
        parts.append(f"[{row['low']:.1f}, {row['high']:.1f}]")
    elif row.get("sharpe") is not None:
        parts.append("no band: daily returns are unknown or too few")
    if row.get("shrunk") is not None:
        parts.append(f"shrunk {row['shrunk']:.2f}")
    if row.get("dsr") is not None:
        trials = f" of {row['trials']:,}" if row.get("trials") else ""
        parts.append(f"DSR {row['dsr']:.2f}{trials}")
    if row.get("verdict"):
        parts.append(shown(row["verdict"], "status"))
    if row.get("synthetic"):
        parts.append("SYNTHETIC")
    return Markup(" ").join(parts)


def link_of(pattern: str, row: Mapping[str, Any]) -> str:
    """Return an address with its {keys} filled in and quoted."""
    return re.sub(r"\{(\w+)\}", lambda one: quote(str(row.get(one[1], "")), safe=""), pattern)


def query(given: Mapping[str, Any], **changed: Any) -> str:
    """Return a query string with some values changed; None takes one away."""
    merged = {**given, **changed}
    return "?" + urlencode({name: one for name, one in merged.items() if one not in (None, "")})


def _assets() -> Any:
    """Return a function from a file's name to its address, which changes with its content."""
    known: dict[str, str] = {}

    def address(name: str) -> str:
        if name not in known:
            digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
            known[name] = f"/static/{name}?v={digest}"
        return known[name]

    return address
