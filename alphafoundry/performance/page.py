"""A tear sheet as one HTML page that fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from alphafoundry.performance.attribution import DRIFT, STRATEGY
from alphafoundry.performance.picture import draw_panels
from alphafoundry.performance.sheet import SHOWN_DRAWDOWNS, TearSheet
from alphafoundry.trading.money import MONEY

_STYLE = """
:root{--ink:#1c2733;--dim:#5c6b7a;--line:#d9e0e7;--back:#fff;--card:#f5f7fa;
--up:#1d7a46;--down:#b3261e}
body{font:14px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0 auto;
max-width:1080px;padding:24px 20px 60px}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:32px 0 8px}
.label{color:var(--dim);margin:4px 0 16px}
.synthetic{display:inline-block;background:#fff3cd;color:#6b4e00;border:1px solid #e6cf85;
border-radius:4px;padding:2px 8px;font-weight:600;margin-bottom:8px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}
.card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px 12px}
.card b{display:block;font-size:18px}.card span{color:var(--dim);font-size:12px}
.card.wide{grid-column:1/-1}.card.wide b{font-size:15px}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:14px 24px}
.charts .broad{grid-column:1/-1}.charts .slim{display:none}
svg{width:100%;height:auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:3px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:600}td:first-child,th:first-child{text-align:left}
td.text{white-space:normal;text-align:left}td.text:last-child{min-width:18em}
.two td:last-child{white-space:normal}.two>div{margin-bottom:10px}
.up{color:var(--up)}.down{color:var(--down)}
tr.sum td{font-weight:600;border-top:2px solid var(--line)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:0 32px}
p{margin:6px 0}.dim{color:var(--dim)}
@media (max-width:700px){body{padding:16px 14px 40px}.charts{grid-template-columns:1fr}
.charts .broad{display:none}.charts .slim{display:block}th,td{padding:3px 4px;font-size:13px}}
@media print{body{max-width:none}h2{break-after:avoid}}
"""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _percent(value: float | None, *, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.2%}" if sign else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _signed(value: float) -> str:
    return _percent(value, sign=True)


_FIGURES: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ("total_return", "Total return", _signed),
    ("annual_return", "Return a year", _signed),
    ("volatility", "Volatility a year", _percent),
    ("sortino", "Sortino ratio", _number),
    ("calmar", "Calmar ratio", _number),
    ("max_drawdown", "Deepest drawdown", _percent),
    ("average_drawdown", "Mean drawdown", _percent),
    ("longest_drawdown", "Longest drawdown, days", _count),
    ("ulcer_index", "Ulcer index", _percent),
    ("stability", "Stability (R²)", _number),
    ("value_at_risk", "Value at risk, 95 %", _percent),
    ("cvar", "Mean loss beyond it", _percent),
    ("skewness", "Skewness", _number),
    ("kurtosis", "Kurtosis (normal: 3)", _number),
    ("tail_ratio", "Tail ratio", _number),
    ("best_day", "Best day", _signed),
    ("worst_day", "Worst day", _signed),
    ("best_month", "Best month", _signed),
    ("worst_month", "Worst month", _signed),
    ("hit_rate", "Days with a gain", _percent),
    ("profit_factor", "Profit factor", _number),
    ("payoff", "Mean gain over mean loss", _number),
    ("beta", "Beta", _number),
    ("alpha", "Alpha a year", _signed),
    ("correlation", "Correlation", _number),
    ("tracking_error", "Tracking error", _percent),
    ("information_ratio", "Information ratio", _number),
    ("up_capture", "Up capture", _number),
    ("down_capture", "Down capture", _number),
)
"""Names of figures, as people read them, and how they are written."""


def sheet_page(
    sheet: TearSheet,
    *,
    passages: Sequence[tuple[str, Sequence[str]]] = (),
    tables: Sequence[tuple[str, Sequence[str], Iterable[Sequence[str]]]] = (),
) -> str:
    """Return a tear sheet as an HTML page with everything in it.

    Parameters
    ----------
    passages : (heading, lines) below the tear sheet, such as explanations
    tables : (heading, headings of columns, rows) after them, such as the state of agents
    """
    parts = [
        f"<h1>{escape(sheet.title)}</h1>",
        '<div class="synthetic">SYNTHETIC: prices were generated</div>' if sheet.synthetic else "",
        f'<p class="label">{escape(sheet.label)}; {sheet.series.dates[0]} to '
        f"{sheet.series.dates[-1]}, {len(sheet.series):,} days</p>",
        _cards(sheet),
        "<h2>Track record</h2>",
        _charts(sheet),
        _months(sheet),
        "<h2>Figures</h2>",
        _figures(sheet),
        _falls(sheet),
        _sources(sheet),
        _drift(sheet),
        _beside(sheet),
        *(f'<p class="dim">{escape(note)}</p>' for note in sheet.notes),
    ]
    for heading, lines in passages:
        told = "".join(f"<p>{escape(line)}</p>" for line in lines)
        parts.append(f"<h2>{escape(heading)}</h2>{told}")
    for heading, columns, rows in tables:
        parts.append(f"<h2>{escape(heading)}</h2>{_table(columns, rows, text=True)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(sheet.title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(part for part in parts if part)
        + "</body></html>\n"
    )


def _charts(sheet: TearSheet) -> str:
    broad, slim, *others = draw_panels(sheet)
    named = [("broad", broad), ("slim", slim), *(("", one) for one in others)]
    parts = "".join(f'<div class="{name}">{picture}</div>' for name, picture in named)
    return f'<div class="charts">{parts}</div>'


def _cards(sheet: TearSheet) -> str:
    found = sheet.statistics
    cards = [
        ("return", _signed(found.total_return), ""),
        ("volatility a year", _percent(found.volatility), ""),
        ("deepest drawdown", _percent(found.max_drawdown), ""),
        ("Sharpe ratio [90 % band], trials, deflated probability", str(sheet.sharpe), " wide"),
    ]
    if sheet.ended_with is not None and sheet.began_with is not None:
        cards.insert(0, ("net asset value", f"${sheet.ended_with:,.2f}", ""))
        earned = sheet.attribution.pnl / MONEY if sheet.attribution is not None else 0.0
        sign = "-" if earned < 0.0 else "+"
        cards.insert(1, ("earned after costs", f"{sign}${abs(earned):,.2f}", ""))
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card{wide}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
            for name, value, wide in cards
        )
        + "</div>"
    )


def _months(sheet: TearSheet) -> str:
    years = dict(sheet.years)
    # A month without a day in any year has no column: a short record fits a telephone.
    shown = [n for n in range(12) if any(months[n] is not None for _, months in sheet.months)]
    rows = [
        [year, *(_coloured(months[n]) for n in shown), _coloured(years[year])]
        for year, months in sheet.months
    ]
    headings = ("year", *(_MONTHS[n] for n in shown), "year's return")
    return "<h2>Months</h2>" + _table(headings, rows, raw=True)


def _coloured(value: float | None) -> str:
    if value is None:
        return ""
    return f'<span class="{"up" if value >= 0 else "down"}">{value:+.2%}</span>'


def _figures(sheet: TearSheet) -> str:
    values = sheet.statistics.to_dict()
    written: list[tuple[str, str]] = [("Sharpe ratio", str(sheet.sharpe))]
    written += [(name, write(values[key])) for key, name, write in _FIGURES]
    if sheet.trading is not None:
        written += [
            (f"Mean {name}", _percent(float(series.mean())))
            for name, series in vars(sheet.trading).items()
        ]
    half = (len(written) + 1) // 2
    return (
        '<div class="two">'
        + "".join(_table(("figure", ""), part) for part in (written[:half], written[half:]))
        + "</div>"
    )


def _falls(sheet: TearSheet) -> str:
    rows = [
        (
            _percent(one.depth),
            str(one.began),
            str(one.deepest),
            "not yet" if one.recovered is None else str(one.recovered),
            str(one.days),
        )
        for one in sheet.drawdowns[:SHOWN_DRAWDOWNS]
    ]
    if not rows:
        return ""
    return "<h2>Deepest drawdowns</h2>" + _table(
        ("depth", "began", "deepest", "recovered", "days"), rows
    )


def _sources(sheet: TearSheet) -> str:
    if sheet.attribution is None:
        return ""
    rows = [[escape(name), _dollars(amount)] for name, amount in sheet.sources()]
    strategies = sorted(
        (
            (name.removeprefix(STRATEGY), amount / MONEY)
            for name, amount in sheet.attribution.parts.items()
            if name.startswith(STRATEGY)
        ),
        key=lambda one: -one[1],
    )
    return (
        "<h2>Where the PnL came from, dollars</h2>"
        '<p class="dim">What held shares earned belongs to the reasons of the newest order of '
        "their name: what each strategy alone would hold, and what the optimiser made of it. The "
        "execution gap is timing, price and unfilled. The parts add up to the cent.</p>"
        '<div class="two">'
        + _table(("part", "dollars"), rows, raw=True, total=_dollars(sheet.attribution.pnl / MONEY))
        + _table(
            ("strategy", "dollars"),
            [[escape(name), _dollars(amount)] for name, amount in strategies],
            raw=True,
            total=_dollars(sum(amount for _, amount in strategies)),
        )
        + "</div>"
    )


def _drift(sheet: TearSheet) -> str:
    if sheet.attribution is None or not sheet.attribution.drift:
        return ""
    rows = []
    for strategy, columns in sheet.attribution.drift.items():
        paper = sheet.attribution.paper(strategy) / MONEY
        rows.append(
            [
                escape(strategy),
                *(_dollars(columns.get(column, 0) / MONEY) for column in DRIFT),
                _dollars(paper),
            ]
        )
    return (
        "<h2>Drift: paper less backtest, dollars</h2>"
        '<p class="dim">The backtest holds what the strategy alone would hold, filled whole at '
        "the close, by today's data, without costs.</p>"
        + _table(("strategy", *DRIFT, "paper"), rows, raw=True)
    )


def _beside(sheet: TearSheet) -> str:
    if not sheet.sectors and not sheet.factors:
        return ""
    sectors = [
        [escape(name), _dollars(allocation), _dollars(selection), _dollars(allocation + selection)]
        for name, (allocation, selection) in sheet.sectors.items()
    ]
    factors = [[escape(name), _dollars(amount)] for name, amount in sheet.factors.items()]
    total = sum(allocation + selection for allocation, selection in sheet.sectors.values())
    return (
        "<h2>Beside the market, dollars</h2>"
        '<p class="dim">By sector, after Brinson: what held shares earned beyond an equal-weighted '
        "market of the same value. By factor: what they earned.</p>"
        '<div class="two">'
        + _table(
            ("sector", "allocation", "selection", "together"),
            sectors,
            raw=True,
            total=_dollars(total),
        )
        + _table(
            ("factor", "dollars"),
            factors,
            raw=True,
            total=_dollars(sum(sheet.factors.values())),
        )
        + "</div>"
    )


def _dollars(amount: float) -> str:
    shown = f"{amount:+,.2f}"
    if shown in ("+0.00", "-0.00"):
        return '<span class="dim">0.00</span>'
    return f'<span class="{"up" if amount >= 0 else "down"}">{shown}</span>'


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    raw: bool = False,
    text: bool = False,
    total: str | None = None,
) -> str:
    """Return a table; `raw` cells are HTML already, a total is the last cell of a last row."""
    cell = '<td class="text">' if text else "<td>"
    head = "".join(f"<th>{escape(one)}</th>" for one in headings)
    body = "".join(
        "<tr>" + "".join(f"{cell}{one if raw else escape(one)}</td>" for one in row) + "</tr>"
        for row in rows
    )
    if total is not None:
        blank = "<td></td>" * (len(headings) - 2)
        body += f'<tr class="sum"><td>together</td>{blank}<td>{total}</td></tr>'
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
