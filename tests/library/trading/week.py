"""A small market made by hand, and a week of a desk on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from alphafoundry.market.sessions import sessions
from alphafoundry.store import Store
from alphafoundry.trading import (
    PAPER_BROKER,
    BrokerClient,
    BrokerRules,
    DayBar,
    Delisting,
    Dividend,
    Execution,
    Faults,
    MarketDay,
    MarketDays,
    OrderRequest,
    PaperBroker,
    Split,
    books_of,
    close_session,
    create_desk,
    execute,
    in_process,
    intend_orders,
    open_session,
    price_units,
    shares,
)

SYMBOLS = ("ACE", "BOW", "CAT", "DOG", "END", "FOX")
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 11)
START = datetime(2024, 3, 4, 12, tzinfo=UTC)
CASH = Decimal(1_000_000)


def bar(symbol: str, number: int, factor: Decimal = Decimal(1)) -> DayBar:
    """A bar of any shape, different by symbol and day."""
    place = SYMBOLS.index(symbol)
    base = (Decimal(20 + 31 * place) + Decimal((number * 37 + place * 11) % 17) / 10) * factor
    close = (base * (1 + Decimal((number * 7 + place * 5) % 9 - 4) / 200)).quantize(Decimal("0.01"))
    first = base.quantize(Decimal("0.01"))
    high = (max(first, close) * Decimal("1.01")).quantize(Decimal("0.01"))
    low = (min(first, close) * Decimal("0.99")).quantize(Decimal("0.01"))
    return DayBar(first, high, low, close, 1_000_000)


def market() -> MarketDays:
    """Six sessions with a 3:2 and a 1:7 split, two dividends and a delisting."""
    days: dict[date, MarketDay] = {}
    for number, one in enumerate(sessions("XNYS", FIRST, LAST)):
        factors = {
            "BOW": Decimal(2) / 3 if number >= 2 else Decimal(1),
            "CAT": Decimal(7) if number >= 3 else Decimal(1),
        }
        listed = [s for s in SYMBOLS if s != "END" or number < 4]
        days[one.day] = MarketDay(
            one,
            {s: bar(s, number, factors.get(s, Decimal(1))) for s in listed},
            splits=(
                *([Split("BOW", one.day, 3, 2)] if number == 2 else []),
                *([Split("CAT", one.day, 1, 7)] if number == 3 else []),
            ),
            dividends=(
                *(
                    [
                        Dividend("ACE", one.day, one.day + timedelta(days=2), Decimal("0.333")),
                        Dividend("DOG", one.day, one.day + timedelta(days=2), Decimal("0.125")),
                    ]
                    if number == 1
                    else []
                ),
            ),
            delistings=(Delisting("END", one.day, Decimal("143.21")),) if number == 4 else (),
        )
    return MarketDays("SYNTHETIC by hand", True, "XNYS", days, frozenset(SYMBOLS))


TARGETS: tuple[dict[str, int], ...] = (
    {"ACE": 1001, "BOW": 333, "CAT": 500, "DOG": -701, "END": 77},
    {"ACE": 905, "BOW": 301, "CAT": 501, "DOG": -803, "END": 99},
    {"ACE": 905, "BOW": 405, "CAT": 300, "DOG": -650, "END": 99},
    {"ACE": 1200, "BOW": 405, "CAT": 45, "DOG": -650, "END": 99},
    {"ACE": 700, "BOW": 0, "CAT": 60, "DOG": -333},
)


@dataclass
class Desk:
    """A desk, its broker and what drives both."""

    store: Store
    paper: PaperBroker
    broker: BrokerClient
    desk_id: int
    done: list[Execution] = field(default_factory=list)
    now: datetime = START

    def tick(self, now: datetime) -> Execution:
        self.paper.advance(now)
        self.done.append(execute(self.store, self.desk_id, self.broker, now))
        return self.done[-1]


def make_desk(
    store: Store,
    *,
    state: Path | None = None,
    faults: Faults | None = None,
    rules: BrokerRules | None = None,
    foreign_rule: str = "adopt",
    days: MarketDays | None = None,
) -> Desk:
    paper = PaperBroker(
        days or market(), start=START, cash=CASH, state=state, faults=faults, rules=rules, seed=3
    )
    broker = BrokerClient("http://paper", transport=in_process(paper))
    account = broker.account()
    desk = create_desk(
        store,
        name="main",
        broker=PAPER_BROKER,
        account_number=account.number,
        cash=int(CASH * 10_000),
        synthetic=True,
        now=START,
        foreign_rule=foreign_rule,  # type: ignore[arg-type]
        epoch="0123456789abcdef",
    )
    return Desk(store, paper, broker, desk.id)


def requests_of(day: MarketDay, held: dict[str, int], target: dict[str, int]) -> list[OrderRequest]:
    found = []
    for symbol in sorted(target):
        change = target.get(symbol, 0) - held.get(symbol, 0)
        if change and symbol in day.bars:
            found.append(
                OrderRequest(
                    symbol,
                    "buy" if change > 0 else "sell",
                    shares(abs(change)),
                    day.session.day,
                    reference_price=price_units(day.bars[symbol].open),
                )
            )
    return found


def moments(day: MarketDay) -> list[tuple[str, datetime]]:
    """What a desk does on a day, and when."""
    hours = day.session
    return [
        ("open", hours.opens - timedelta(minutes=50)),
        ("intend", hours.closes - timedelta(minutes=20)),
        *(("execute", hours.closes - timedelta(minutes=m)) for m in (19, 18, 17)),
        *(("execute", hours.closes + timedelta(minutes=m)) for m in (5, 6)),
        ("close", hours.closes + timedelta(minutes=15)),
    ]


def run_week(desk: Desk, *, after: datetime | None = None) -> None:
    """Do a week's work; steps before `after` are done already and left out."""
    days = list(desk.paper.market.days.values())
    for number, day in enumerate(days[:-1]):
        before = days[number - 1] if number else None
        for step, now in moments(day):
            if after is not None and now < after:
                continue
            desk.now = now
            if step == "execute":
                desk.tick(now)
                continue
            desk.paper.advance(now)
            if step == "open":
                open_session(desk.store, desk.desk_id, day, before=before, at=now)
                desk.tick(now)
            elif step == "intend":
                books = books_of(desk.store, desk.desk_id)
                held = {s: h.quantity // 1_000_000 for s, h in books.holdings.items()}
                intend_orders(
                    desk.store,
                    desk.desk_id,
                    requests_of(day, held, TARGETS[number]),
                    batch=f"rebalance {day.session.day}",
                    now=now,
                )
            else:
                close_session(
                    desk.store,
                    desk.desk_id,
                    day,
                    next_session=days[number + 1].session.day,
                    at=now,
                    borrow_rate=desk.paper.rules.borrow_rate,
                    interest_rate=desk.paper.rules.interest_rate,
                )
