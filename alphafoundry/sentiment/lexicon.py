"""Words of financial headlines by what they do in a sentence, and events by how they are told.

A word alone says little: "rises" is good of profits and bad of costs. So words are of a role, and
`scoring` pairs what moves with what it moves. Written for this project, from how news agencies
write; no list of others is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["up", "down", "stop", "start", "asset", "burden", "good", "bad", "not"]


def _forms(verbs: str) -> Iterator[str]:
    """Yield the forms of regular verbs, and of those written as present/past/participle/-ing."""
    for verb in verbs.split():
        if "/" in verb:
            yield from verb.split("/")
            continue
        yield verb
        if verb.endswith("e"):
            yield from (f"{verb}s", f"{verb}d", f"{verb[:-1]}ing")
        elif verb.endswith("y") and verb[-2] not in "aeiou":
            yield from (f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing")
        elif verb.endswith(("s", "sh", "ch", "x", "z")):
            yield from (f"{verb}es", f"{verb}ed", f"{verb}ing")
        else:
            yield from (f"{verb}s", f"{verb}ed", f"{verb}ing")


def _nouns(nouns: str) -> Iterator[str]:
    for noun in nouns.split():
        yield noun
        if noun.endswith("y") and noun[-2] not in "aeiou":
            yield f"{noun[:-1]}ies"
        elif noun.endswith(("s", "sh", "ch", "x")):
            yield f"{noun}es"
        else:
            yield f"{noun}s"


UP = frozenset(
    _forms(
        "rise/rises/rose/risen/rising increase climb gain jump surge soar rally advance grow/grows/"
        "grew/grown/growing expand raise lift boost hike double triple accelerate strengthen "
        "improve rebound recover widen swell pop/pops/popped/popping spike rocket skyrocket "
        "leap/leaps/leapt/leaping balloon build/builds/built/building mount quicken deepen "
        "multiply push edge bolster"
    )
) | {"higher", "up", "more", "record", "highest", "faster", "bigger", "larger"}

DOWN = frozenset(
    _forms(
        "fall/falls/fell/fallen/falling drop/drops/dropped/dropping decline decrease slide/slides/"
        "slid/sliding sink/sinks/sank/sunk/sinking plunge tumble slump plummet crash dive shrink/"
        "shrinks/shrank/shrunk/shrinking cut/cuts/cutting lower reduce trim/trims/trimmed/trimming "
        "slash ease narrow weaken slow halve shed/sheds/shedding contract dip/dips/dipped/dipping "
        "collapse erode deteriorate retreat slip/slips/slipped/slipping worsen stall dwindle fade "
        "evaporate tank soften cool squeeze moderate recede"
    )
) | {"down", "less", "fewer", "lowest", "smaller", "weakest", "slower"}

STOP = frozenset(
    _forms(
        "end avert avoid dismiss halt suspend scrap/scraps/scrapped/scrapping cancel block reject "
        "withdraw/withdraws/withdrew/withdrawn/withdrawing lose/loses/lost/losing miss deny "
        "abandon clear resolve settle lift close overturn quash shut/shuts/shutting terminate "
        "remove exclude invalidate delay postpone pull drop/drops/dropped/dropping refute fix "
        "throw/throws/threw/thrown/throwing scuttle derail veto revoke void sidestep escape exit "
        "dodge shelve freeze/freezes/froze/frozen oppose repay"
    )
) | {"without", "off"}

START = frozenset(
    _forms(
        "open launch begin/begins/began/beginning face file win/wins/won/winning secure get/gets/"
        "got/getting receive land sign reach announce report post clinch announce gain declare "
        "reinstate resume restart award grant expand hit/hits/hitting see/sees/saw/seeing allege "
        "disclose reveal find/finds/found/finding take/takes/took/taking"
    )
)

ASSET = frozenset(
    _nouns(
        "profit earning revenue sale margin order booking outlook "
        "guidance forecast dividend payout "
        "buyback demand share stock price contract deal merger takeover acquisition approval "
        "volume subscriber customer occupancy traffic output production capacity growth income "
        "backlog cash target estimate expectation rating delivery partnership bid bidder "
        "subsidy exclusivity patent appeal bonus user market efficiency reserve licence license "
        "talk agreement grant repurchase supply stake confidence sentiment turnover ratio "
        "shipment listing exports"
    )
) | {"ebitda", "eps", "nim", "same-store", "recovery", "reprieve", "turnaround"}

BURDEN = frozenset(
    _nouns(
        "loss cost debt expense inventory inventories claim charge default delinquency layoff "
        "vacancy delay overrun recall fine penalty probe investigation lawsuit suit inquiry "
        "verdict strike outage shortage bottleneck tariff liability "
        "impairment writedown write-down "
        "write-off short dispute backlash churn deficit cancellation risk concern worry fear "
        "allegation accusation restriction ban tax inflation rate sanction downgrade warning loan "
        "leak breach spill injury death defect fault error complaint headwind competition drag "
        "wage fuel debtload leverage action"
    )
) | {"fears", "worries", "misconduct", "wrongdoing", "headwinds", "fraud", "bribery"}

GOOD = (
    frozenset(_nouns("beat upgrade breakthrough win milestone success buyout reward boon windfall"))
    | frozenset(
        _forms(
            "outperform outpace upgrade succeed approve delight cheer "
            "benefit impress rescue prosper "
            "thrive exceed surpass top/tops/topped/topping beat/beats/beaten/beating bode back "
            "deliver clear pay/pays/paid strike"
        )
    )
    - {"strike", "strikes", "pay"}
    | {
        "strong",
        "stronger",
        "strongest",
        "robust",
        "solid",
        "bullish",
        "upbeat",
        "optimistic",
        "favorable",
        "favourable",
        "positive",
        "profitable",
        "best",
        "better",
        "healthy",
        "buoyant",
        "resilient",
        "overweight",
        "premium",
        "lucrative",
        "successful",
        "efficacy",
        "easily",
        "outstanding",
        "stellar",
        "upside",
        "momentum",
    }
)

BAD = (
    frozenset(
        _nouns(
            "bankruptcy shortfall fraud scandal violation crisis "
            "slowdown recession failure setback "
            "downturn plaintiff junk turmoil sell-off selloff flop disappointment hack cyberattack "
            "explosion accident incident glut exodus lapse misstatement restatement insolvency"
        )
    )
    | frozenset(
        _forms(
            "warn disappoint fail underperform downgrade sue default "
            "breach hurt/hurts/hurting suffer "
            "struggle drag/drags/dragged/dragging weigh threaten ground "
            "seize idle quit/quits/quitting "
            "resign oust accuse indict charge burn damage hamper plague restate recall defraud "
            "hit/hits/hitting bite/bites/biting halt lag/lags/lagged/lagging layoff sputter "
            "derail falter slam/slams/slammed/slamming batter dent derate mislead"
        )
    )
    - {"charges", "charge", "charging", "recall", "recalls"}
    | {
        "weak",
        "weaker",
        "poor",
        "bearish",
        "downbeat",
        "pessimistic",
        "negative",
        "unprofitable",
        "worst",
        "worse",
        "abruptly",
        "uncertainty",
        "underweight",
        "disappointing",
        "insolvent",
        "unimpressed",
        "going-concern",
        "soft",
        "sluggish",
        "dismal",
        "gloomy",
        "grim",
        "troubled",
        "embattled",
        "lackluster",
        "downside",
        "stuck",
        "victim",
        "spills",
    }
)

NOT = frozenset(
    {
        "no",
        "not",
        "never",
        "none",
        "nor",
        "without",
        "cannot",
        "isn't",
        "won't",
        "doesn't",
        "denies",
    }
)

ROLES: tuple[tuple[Role, frozenset[str]], ...] = (
    ("not", NOT),
    ("good", GOOD),
    ("bad", BAD),
    ("up", UP),
    ("down", DOWN),
    ("stop", STOP),
    ("start", START),
    ("burden", BURDEN),
    ("asset", ASSET),
)
"""Roles in the order in which a word that has several takes one."""


@dataclass(frozen=True)
class Event:
    """A kind of news, told by a pattern over a whole headline in lower case.

    Attributes
    ----------
    name : of the kind
    score : -1 to 1
    severe : whether strategies should not be looked for on such news of the whole market
    """

    name: str
    pattern: re.Pattern[str]
    score: float
    severe: bool = False


def _event(name: str, pattern: str, score: float, *, severe: bool = False) -> Event:
    return Event(name, re.compile(pattern), score, severe)


_MEASURE = r"(?:estimat|forecast|expect|consensus|target|view|street|prediction|projection)\w*"
_AHEAD = r"(?:beat|top|exceed|surpass|outpac|trounc|crush|better)\w*"
_BEHIND = r"(?:miss|trail|lag|below|short of|under)\w*"
_AGENCY = r"(?:fda|ema|regulator|commission|eu|ftc|sec|doj|justice department|court|judge|jury)"

EVENTS: tuple[Event, ...] = (
    _event(
        "less bad", r"(?:narrower|smaller|less|lower|milder)[\w\s-]*than[\s-](?:fear|expect)", 1
    ),
    _event(
        "beat", rf"{_AHEAD}\b[^,;]*\b{_MEASURE}|(?:ahead of|above|well over)\b[^,;]*{_MEASURE}", 1
    ),
    _event("beat", r"better[\s-]than[\s-](?:expected|feared|forecast)", 1),
    _event("miss", r"(?:worse|weaker|lower|slower)[\s-]than[\s-](?:expected|forecast)", -1),
    _event("miss", rf"fail\w* to (?:beat|meet|impress|reach)|{_BEHIND}\b[^,;]*\b{_MEASURE}", -1),
    _event(
        "guidance",
        r"(?:raise|lift|hike|boost|increase|up)s?\b[^,;]*\b(?:outlook|guidance|forecast)",
        1,
    ),
    _event(
        "guidance",
        r"(?:cut|slash|lower|trim|withdraw|pull|suspend"
        r"|reduce)\w*\b[^,;]*\b(?:outlook|guidance|forecast)",
        -1,
    ),
    _event("guidance", r"profit warning|warns? (?:on|of|about)", -1),
    _event("rating", r"\bupgrad|\boverweight|to (?:buy|outperform|overweight)\b|top pick", 1),
    _event("rating", r"\bdowngrad|\bunderweight|to (?:sell|underperform|underweight|junk)\b", -1),
    _event("rating", r"(?:outlook|rating)[^,;]*\bto positive|investment grade", 1),
    _event("rating", r"(?:outlook|rating)[^,;]*\bto negative|to junk", -1),
    _event(
        "offer",
        r"\bto be acquired|takeover (?:approach|bid|offer)|unsolicited (?:bid|offer)|buyout offer",
        1,
    ),
    _event("offer", r"(?:walk|walked|walks) away|talks (?:collapse|end|break)|vote[sd]? down", -1),
    _event(
        "approval", rf"{_AGENCY}\b[^,;]*\b(?:approv|clear|back|certif)\w*|wins? [^,;]*approval", 1
    ),
    _event(
        "refusal",
        rf"{_AGENCY}\b[^,;]*\b(?:reject|block|denie|refus|sue|order)\w*|clinical hold",
        -1,
    ),
    _event(
        "trial",
        r"(?:meets?|met) (?:its )?(?:main|primary)"
        r"|positive (?:trial|data|results)|shows? \d+% efficacy",
        1,
    ),
    _event("trial", r"fails? (?:in|to)\b|trial (?:failure|disappointment)|patient death", -1),
    _event(
        "probe",
        r"(?:open|launch|begin|start|face|under)\w*\b[^,;]*\b(?:probe|investigation|inquiry)",
        -1,
        severe=True,
    ),
    _event(
        "probe over",
        r"(?:end|drop|close|clear|conclude)\w*\b[^,;]*\b(?:probe|investigation|inquiry)\b",
        1,
    ),
    _event(
        "insolvency",
        r"chapter 11|files? for bankruptcy|going[\s-]concern|defaults? on",
        -1,
        severe=True,
    ),
    _event("insolvency over", r"(?:emerge|exit)\w* from (?:bankruptcy|chapter 11)", 1),
    _event("recall", r"\brecalls?\b(?!.*without)", -1),
    _event(
        "accounting",
        r"accounting (?:error|irregularit|fraud|probe)|restat|auditor (?:quit|resign)",
        -1,
        severe=True,
    ),
    _event("breach", r"data breach|cyber ?attack|hacked|ransomware", -1, severe=True),
    _event("offering", r"(?:share|stock|equity) (?:offering|sale)|dilut", -1),
    _event("market halt", r"(?:trading|exchange)\b[^,;]*\bhalted|circuit breaker", -1, severe=True),
    _event(
        "court",
        r"(?:dismiss|throw|threw|toss|overturn)\w*\b[^,;]*\b(?:lawsuit"
        r"|suit|verdict|case|claim)|lawsuit[^,;]*dismissed",
        1,
    ),
    _event("court", r"class action|\bsues\b|to pay \$[^,;]*(?:settle|case|fine)|loses? appeal", -1),
    _event("court", r"wins? (?:appeal|case|patent)|settles?\b[^,;]*favou?rable", 1),
    _event("insider", r"insiders? buy|(?:ceo|director|chief)s? buys?", 1),
    _event("insider", r"(?:ceo|director|chief|insider)s?\b[^,;]*\bsells?\b", -1),
    _event(
        "departure", r"(?:ceo|cfo|chief|chairman)\b[^,;]*\b(?:quit|resign|oust|fired|abrupt)", -1
    ),
    _event("index", r"(?:to join|added to) the s&p|joins the s&p", 1),
    _event("index", r"(?:dropped|removed) from the s&p", -1),
    _event(
        "swing",
        r"swings? to (?:a )?profit|turns? (?:a )?profit"
        r"|returns? to (?:profit|growth)|turned positive",
        1,
    ),
    _event("swing", r"swings? to (?:a )?loss|turned negative", -1),
)
"""Kinds of news; every one that is found counts."""

DOUBT: Mapping[str, float] = {
    "may": 0.7,
    "might": 0.6,
    "could": 0.7,
    "reportedly": 0.8,
    "rumor": 0.6,
}
"""Words that make a headline weigh less."""
