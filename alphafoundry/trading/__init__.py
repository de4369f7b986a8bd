"""Orders, ledger and paper broker of a desk, to the cent.

    days = MarketDays.from_panel(panel, date(2023, 3, 6), date(2023, 3, 13))
    paper = PaperBroker(days, start=opening, cash=Decimal(1_000_000), state=home / "broker.sqlite")
    broker = BrokerClient("http://paper", transport=in_process(paper))
    account = broker.account()
    desk = create_desk(store, name="main", broker=PAPER_BROKER, account_number=account.number,
                       cash=account.cash, synthetic=days.synthetic, now=opening)
    for day, following in pairwise(days.days.values()):
        paper.advance(before_open)                    # time passes for the broker
        open_session(store, desk.id, day, before=yesterday, at=before_open)  # splits, dividends
        order = OrderRequest("SYN001", "buy", shares(100), day.session.day, reference_price=close)
        intend_orders(store, desk.id, [order], batch=f"rebalance {day.session.day}", now=at_1540)
        for now in (at_1541, at_1542, at_1605):
            paper.advance(now)
            execute(store, desk.id, broker, now)      # reconciles, sends, reads fills
        close_session(store, desk.id, day, next_session=following.session.day, at=at_1615,
                      borrow_rate=paper.rules.borrow_rate)        # marks and accruals
        print(compare(store, desk.id, broker))        # ledger: reconciled to $0.00
    books = books_of(store, desk.id)                  # .cash .holdings .equity .net_asset_value
    read_orders(store, desk.id), read_fills(store, desk.id), pending_orders(store, desk.id)

Amounts are whole numbers of 1/10,000 dollar (`money`), quantities of 1/1,000,000 share (`shares`),
prices of 1/1,000,000 dollar (`price_units`). Every function takes the desk's clock as `now` or
`at`; none reads the time of day. `execute` may be called at any moment and as often as wanted.
"""

from alphafoundry.trading.broker_client import BrokerClient
from alphafoundry.trading.desks import (
    PAPER_BROKER,
    OrderLimits,
    create_desk,
    ledger_of,
    read_desk,
    set_limits,
    set_state,
)
from alphafoundry.trading.execution import Comparison, Execution, adopt, compare, execute, reconcile
from alphafoundry.trading.ledger import (
    Books,
    Holding,
    books_of,
    check_ledger,
    close_session,
    open_session,
    set_marks,
    transfer,
)
from alphafoundry.trading.market_day import (
    DayBar,
    Delisting,
    Dividend,
    MarketDay,
    MarketDays,
    Split,
)
from alphafoundry.trading.money import dollars, money, price_units, shares
from alphafoundry.trading.orders import (
    OrderRequest,
    bust_fill,
    count_pending,
    has_unsettled,
    intend_orders,
    pending_orders,
    read_events,
    read_fills,
    read_orders,
    request_cancel,
)
from alphafoundry.trading.paper_broker import BrokerRules, Faults, PaperBroker, in_process

__all__ = [
    "PAPER_BROKER",
    "Books",
    "BrokerClient",
    "BrokerRules",
    "Comparison",
    "DayBar",
    "Delisting",
    "Dividend",
    "Execution",
    "Faults",
    "Holding",
    "MarketDay",
    "MarketDays",
    "OrderLimits",
    "OrderRequest",
    "PaperBroker",
    "Split",
    "adopt",
    "books_of",
    "bust_fill",
    "check_ledger",
    "close_session",
    "compare",
    "count_pending",
    "create_desk",
    "dollars",
    "execute",
    "has_unsettled",
    "in_process",
    "intend_orders",
    "ledger_of",
    "money",
    "open_session",
    "pending_orders",
    "price_units",
    "read_desk",
    "read_events",
    "read_fills",
    "read_orders",
    "reconcile",
    "request_cancel",
    "set_limits",
    "set_marks",
    "set_state",
    "shares",
    "transfer",
]
