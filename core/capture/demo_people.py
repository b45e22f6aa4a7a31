"""The people of the demo product, Parcelbay, and what each of them does: all of it drawn from the seed alone.

Times are positions from 0 to 1 on a calendar that `core.capture.demo` stretches over real days, so that
the same seed gives the same people and events whenever it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

SITE: Final = "https://parcelbay.example"
PLANS: Final = {"free": 0, "team": 12, "business": 29}
PEOPLE_PER_COMPANY: Final = 12


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST_NAMES: Final = _words(
    "Ada Amara Anouk Bao Carlos Chidi Dara Elif Emre Farah Freya Giulia Hana Idris Ines Ivan Jonas Kaito Leila Luca "
    "Mads Maren Mina Nadia Noor Olu Paula Priya Rafael Rosa Samir Sena Tariq Tove Uma Viktor Wren Yara Yusuf Zoe"
)
_LAST_NAMES: Final = _words(
    "Abara Aydin Berg Castillo Chen Costa Dahl Dubois Eriksen Ferrari Fischer Gupta Haddad Horvat Ito Jansen Kaya "
    "Keita Kim Kowalski Larsen Lopez Marin Moreau Nagy Novak Okafor Petrov Quist Rossi Sato Silva Tanaka Umarov "
    "Vargas Weber Yilmaz Zhang"
)
_COMPANY_WORDS: Final = _words("Alder Birch Cobalt Delta Ember Fjord Garnet Harbor Iris Juniper Kelp Lumen Mesa North")
_COMPANY_ENDINGS: Final = _words("Labs Works Studio Foods Logistics Health Partners Press")
_INDUSTRIES: Final = ("architecture", "education", "food", "healthcare", "logistics", "media", "software")
_JOBS: Final = ("designer", "developer", "founder", "operations", "researcher", "sales", "support")
_COUNTRIES: Final = ("BR", "DE", "ES", "FR", "GB", "IN", "JP", "NG", "TR", "US")
_FEATURES: Final = (
    "file_uploaded",
    "file_uploaded",
    "file_uploaded",
    "file_downloaded",
    "file_downloaded",
    "link_shared",
    "link_shared",
    "folder_created",
    "comment_added",
    "$pageview",
)
_CHANGES: Final = ("plan", "cancel", "seats", "profile", "forget", "")
_CHANGE_WEIGHTS: Final = (28, 8, 10, 10, 6, 38)
_NEXT_PLAN: Final = {"free": "team", "team": "business", "business": "free"}
_FILE_TYPES: Final = ("pdf", "png", "mp4", "docx", "zip", "fig")
_PAGES: Final = ("/", "/pricing", "/features", "/security", "/customers", "/blog/large-files")
_APP_PAGES: Final = ("/app", "/app/shared", "/app/recent", "/app/settings")
_BROWSERS: Final = (("Chrome", "Windows", 141), ("Chrome", "Mac OS X", 141), ("Safari", "Mac OS X", 19))
_MORE_BROWSERS: Final = (("Firefox", "Linux", 144), ("Edge", "Windows", 141))
_PHONES: Final = (("Mobile Safari", "iOS", 19), ("Chrome", "Android", 141))
_SCREENS: Final = ((1920, 1080), (1440, 900), (2560, 1440), (1366, 768))
_SOURCES: Final[Sequence[tuple[str, str, dict[str, str]]]] = (
    ("https://www.google.com/", "www.google.com", {}),
    (
        "https://www.google.com/",
        "www.google.com",
        {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "send-it"},
    ),
    ("https://news.ycombinator.com/", "news.ycombinator.com", {}),
    ("$direct", "$direct", {}),
    ("$direct", "$direct", {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "autumn"}),
    ("https://www.linkedin.com/", "www.linkedin.com", {"utm_source": "linkedin", "utm_medium": "social"}),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One event to come: when (0 to 1, and seconds into the visit), by which distinct id, and what it carries."""

    at: float
    delay: float
    distinct_id: str
    event: str
    properties: dict[str, Any]
    set: Mapping[str, Any] = field(default_factory=dict)
    set_once: Mapping[str, Any] = field(default_factory=dict)


def random_id(random: Random) -> str:
    """Return a text like the anonymous ids of SDKs."""
    return str(UUID(int=random.getrandbits(128), version=4))


def device(random: Random, *, phone: bool = False) -> dict[str, Any]:
    """Return what an SDK says of a browser with every event."""
    browser, system, version = random.choice(_PHONES if phone else (*_BROWSERS, *_MORE_BROWSERS))
    width, height = (390, 844) if phone else random.choice(_SCREENS)
    return {
        "$browser": browser,
        "$browser_version": version,
        "$os": system,
        "$device_type": "Mobile" if phone else "Desktop",
        "$screen_width": width,
        "$screen_height": height,
        "$lib": "web",
        "$geoip_country_code": random.choice(_COUNTRIES),
    }


def page(path: str) -> dict[str, Any]:
    """Return what an SDK says of a page."""
    return {"$current_url": f"{SITE}{path}", "$pathname": path, "$host": "parcelbay.example"}


def visitor(random: Random) -> list[Step]:
    """Someone who looks around and never signs up: no person comes of it."""
    at = random.random()
    return _anonymous_visit(random, random_id(random), device(random), at, random.randint(1, 2))


def _anonymous_visit(random: Random, distinct_id: str, browser: dict[str, Any], at: float, pages: int) -> list[Step]:
    referrer, domain, campaign = random.choice(_SOURCES)
    source = {"$referrer": referrer, "$referring_domain": domain, **campaign}
    steps = []
    for number in range(pages):
        path = _PAGES[0] if number == 0 else random.choice(_PAGES)
        properties = {**browser, **page(path), **source, "$process_person_profile": False, "$is_identified": False}
        steps.append(Step(at, number * random.uniform(10, 70), distinct_id, "$pageview", properties))
    return steps


@dataclass(slots=True)
class Customer:
    """Someone who signs up; the steps grow as the story is told."""

    random: Random
    number: int
    people: int
    distinct_id: str = ""
    browser: dict[str, Any] = field(default_factory=dict)
    company: str | None = None
    industry: str = ""
    plan: str = "free"
    seats: int = 1
    steps: list[Step] = field(default_factory=list)

    def story(self) -> list[Step]:
        """Tell everything from the first visit on."""
        random = self.random
        self.distinct_id = f"cus_{random.getrandbits(60):015x}"
        self.browser = device(random)
        # Some were there before the first day and sign up again at its start; most come over time.
        start = random.random() ** 1.3 * 0.9
        self._work_for()
        self._sign_up(start)
        moments = sorted(random.uniform(start, 1) for _ in range(random.randint(2, 4)))
        self._use(moments[0], random.randint(1, 3))
        if self._chance(0.12):
            self._second_device(moments[0])
        for moment in moments[1:]:
            self._change(moment)
            self._use(moment, random.randint(1, 3))
        return self.steps

    def _say(self, at: float, event: str, properties: Mapping[str, Any], **changes: Mapping[str, Any]) -> None:
        groups = {"$groups": {"company": self.company}} if self.company else {}
        delay = 0.0 if not self.steps or self.steps[-1].at != at else self.steps[-1].delay + self.random.uniform(5, 90)
        own = {**self.browser, **groups, "$is_identified": True, **properties}
        self.steps.append(Step(at, delay, self.distinct_id, event, own, **changes))

    def _work_for(self) -> None:
        random = self.random
        company = random.randrange(max(1, self.people // PEOPLE_PER_COMPANY))
        if self._chance(0.4):
            words = Random(company)  # noqa: S311 demo data
            self.company = f"{words.choice(_COMPANY_WORDS)} {words.choice(_COMPANY_ENDINGS)} {company + 1}"
            self.industry = words.choice(_INDUSTRIES)

    def _sign_up(self, at: float) -> None:
        random = self.random
        anonymous = random_id(random)
        self.steps += _anonymous_visit(random, anonymous, self.browser, at, random.randint(1, 3))
        first = self.steps[0].properties
        name, family = random.choice(_FIRST_NAMES), random.choice(_LAST_NAMES)
        host = f"{self.company.lower().replace(' ', '-')}.example" if self.company else "mail.example"
        about = {
            "email": f"{name}.{family}.{self.number}@{host}".lower(),
            "name": f"{name} {family}",
            "plan": "free",
            "seats": 1,
            "trial_days_left": 14,
            "country": self.browser["$geoip_country_code"],
        }
        if self._chance(0.5):
            about["job"] = random.choice(_JOBS)
        source = {key: first[key] for key in first if key.startswith("utm_")}
        once = {"$initial_referrer": first["$referrer"], "signed_up_from": source.get("utm_source", "organic")}
        signup = page("/signup")
        self._say(at, "$identify", {**signup, "$anon_distinct_id": anonymous}, set=about, set_once=once)
        self._say(at, "signed_up", {**signup, "plan": "free"})
        if self.company and self._chance(0.5):
            about_company = {"name": self.company, "industry": self.industry, "employees": random.randrange(5, 500)}
            group = {"$group_type": "company", "$group_key": self.company, "$group_set": about_company}
            self._say(at, "$groupidentify", group)

    def _use(self, at: float, times: int) -> None:
        for _ in range(times):
            event = self.random.choice(_FEATURES)
            properties = page(self.random.choice(_APP_PAGES)) | {"plan": self.plan}
            if event.startswith("file_"):
                kind, size = self.random.choice(_FILE_TYPES), round(self.random.lognormvariate(1, 1.2), 2)
                properties |= {"file_type": kind, "size_mb": size}
            self._say(at, event, properties)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _change(self, at: float) -> None:
        random = self.random
        change = random.choices(_CHANGES, _CHANGE_WEIGHTS)[0]
        if change == "plan":
            self._change_plan(at, _NEXT_PLAN[self.plan])
        elif change == "cancel" and self.plan != "free":
            self._change_plan(at, "free")
        elif change == "seats" and self.plan != "free":
            self.seats += random.randint(1, 5)
            self._say(at, "seats_added", page("/app/settings"), set={"seats": self.seats, "mrr": self._revenue()})
        elif change == "profile":
            self._say(at, "$set", page("/app/settings"), set={"newsletter": True, "job": random.choice(_JOBS)})
        elif change == "forget":
            self._say(at, "$set", {**page("/app/settings"), "$unset": ["newsletter", "job"]})

    def _change_plan(self, at: float, plan: str) -> None:
        before, self.plan = self.plan, plan
        self.seats = 1 if plan == "free" else max(self.seats, self.random.randint(2, 9))
        properties = {**page("/app/settings/plan"), "from_plan": before, "to_plan": plan}
        if plan == "free":
            churned = {"plan": plan, "seats": 1, "churned_from": before}
            self._say(at, "subscription_cancelled", {**properties, "$unset": ["mrr"]}, set=churned)
            return
        paid = {"plan": plan, "seats": self.seats, "mrr": self._revenue()}
        unset = {"$unset": ["trial_days_left", "churned_from"]}
        self._say(at, "plan_changed", {**properties, **unset}, set=paid, set_once={"first_paid_plan": plan})

    def _revenue(self) -> int:
        return PLANS[self.plan] * self.seats

    def _second_device(self, at: float) -> None:
        """Use a phone unknown so far, which makes a person of its own, then log in there: the two are merged."""
        phone, other = device(self.random, phone=True), random_id(self.random)
        delay = self.steps[-1].delay
        for _ in range(self.random.randint(1, 2)):
            delay += self.random.uniform(20, 60)
            self.steps.append(
                Step(at, delay, other, "app_opened", {**phone, "$lib": "posthog-ios"}, set={"has_app": True})
            )
        self._say(at, "$create_alias", {**phone, "alias": other})
