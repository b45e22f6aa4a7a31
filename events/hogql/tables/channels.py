"""Which channel someone came by: PostHog's documented rules, over our own lists of well-known names.

A source is known by its name (`google`) or by its domain (`www.google.co.uk`), of which the first part that tells
sites apart is the name. The rules are applied in order; the first that holds decides.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

# Names of the channel, to the sources or domains that belong to it.
_SOURCES: Final[Mapping[str, str]] = {
    "Search": (
        "google googlesearch bing duckduckgo yahoo baidu yandex ecosia qwant startpage brave kagi naver daum seznam"
        " sogou ask aol dogpile mojeek swisscows lycos msn alltheweb sm so presearch metager searx perplexity"
    ),
    "Social": (
        "facebook fb instagram ig twitter x linkedin reddit pinterest snapchat threads bsky bluesky mastodon tumblr"
        " quora whatsapp telegram discord weibo vk vkontakte ok line messenger workplace nextdoor meetup xing"
        " myspace disqus livejournal mixi ycombinator hackernews stackoverflow stackexchange medium"
        " slashdot digg wechat truthsocial"
    ),
    "Video": "youtube youtu vimeo twitch tiktok dailymotion netflix disneyplus hulu bilibili youku iqiyi rumble wistia",
    "Shopping": (
        "amazon ebay etsy walmart alibaba aliexpress shopify googleshopping shopping shopzilla mercadolibre temu shein"
        " wish target idealo rakuten zalando allegro"
    ),
}
_ORGANIC_SOURCES: Final[Mapping[str, str]] = {
    "Email": "email e-mail e_mail e%20mail newsletter mailchimp gmail mail",
    "SMS": "sms",
    "Push": "firebase onesignal push",
}
_MEDIUMS: Final[Mapping[str, str]] = {
    "Social": "social social-network social-media sm social_network social_media",
    "Video": "video",
}
_ORGANIC_MEDIUMS: Final[Mapping[str, str]] = {
    "Affiliate": "affiliate affiliates partner",
    "Referral": "referral link app",
    "Email": "email e-mail e_mail e%20mail newsletter",
    "Display": "display cpm interstitial banner expandable",
    "Audio": "audio",
    "SMS": "sms",
    "Push": "push notification mobile",
    "Organic Search": "organic",
}
_PAID_MEDIUMS: Final[Mapping[str, str]] = {"Display": "display interstitial banner expandable cpm"}
# Domains whose first part says nothing.
_DOMAINS: Final[Mapping[str, str]] = {
    "t.co": "twitter",
    "lnkd.in": "linkedin",
    "fb.me": "facebook",
    "redd.it": "reddit",
}
_DOMAIN: Final = "$referring_domain"
_PROPERTIES: Final = ("utm_campaign", "utm_medium", "utm_source", _DOMAIN, "gclid", "gad_source")
_SHOPS: Final = "^(.*(([^a-df-z]|^)shop|shopping).*)$"


def channel_type(read: Callable[[str], str]) -> str:
    """Return an expression for the channel; `read` gives one of Nullable(String) for each property's first value."""
    names = ("campaign", "medium", "source", "site", "paid", "gad")
    paid = "(match(medium, '^(cpc|cpm|cpv|cpa|ppc|retargeting|paid.*)$') OR gad != '' OR paid != '')"
    first = [
        ("campaign = 'cross-network'", "'Cross Network'"),
        (paid, f"coalesce({', '.join(_PAID)})"),
        ("site = '$direct' AND medium = '' AND source IN ('', 'direct', '(direct)', '$direct')", "'Direct'"),
    ]
    rules = ", ".join(f"{condition}, {value}" for condition, value in first)
    given = ", ".join(f"[lower(ifNull({read(key)}, ''))]" for key in _PROPERTIES)
    return f"arrayMap(({', '.join(names)}) -> multiIf({rules}, coalesce({', '.join(_ORGANIC)})), {given})[1]"


def _quoted(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _looked_up(value: str, *lists: tuple[str, Mapping[str, str]]) -> str:
    """Return an expression for the channel that has a value in its list, NULL for none."""
    pairs = {
        name.replace("%20", " "): f"{prefix}{channel}"
        for prefix, channels in lists
        for channel, listed in channels.items()
        for name in listed.split()
    }
    return f"nullIf(transform({value}, {_quoted(pairs)}, {_quoted(pairs.values())}, ''), '')"


def _name(value: str) -> str:
    site = f"cutToFirstSignificantSubdomain({value})"
    known = f"transform({site}, {_quoted(_DOMAINS)}, {_quoted(_DOMAINS.values())}, splitByChar('.', {site})[1])"
    return f"if(position({value}, '.') > 0, {known}, {value})"


def _if(condition: str, value: str) -> str:
    return f"if({condition}, '{value}', NULL)"


_PAID: Final = (
    _looked_up(_name("source"), ("Paid ", _SOURCES)),
    _looked_up(_name("site"), ("Paid ", _SOURCES)),
    _if(f"match(campaign, '{_SHOPS}')", "Paid Shopping"),
    _looked_up("medium", ("Paid ", _MEDIUMS), ("", _PAID_MEDIUMS)),
    _if("gad = '1'", "Paid Search"),
    _if("match(campaign, 'video')", "Paid Video"),
    "'Paid Unknown'",
)
_ORGANIC: Final = (
    _looked_up(_name("source"), ("Organic ", _SOURCES), ("", _ORGANIC_SOURCES)),
    _looked_up(_name("site"), ("Organic ", _SOURCES), ("", _ORGANIC_SOURCES)),
    _if(f"match(campaign, '{_SHOPS}')", "Organic Shopping"),
    _looked_up("medium", ("Organic ", _MEDIUMS), ("", _ORGANIC_MEDIUMS)),
    _if("match(campaign, 'video')", "Organic Video"),
    _if("match(medium, 'push$')", "Push"),
    _if("site = '$direct'", "Direct"),
    _if("site != ''", "Referral"),
    "'Unknown'",
)


def referring_domain_type(read: Callable[[str], str]) -> str:
    """Return an expression for what kind of site the first referring domain is; NULL for an unknown one."""
    looked_up = _looked_up(_name("site"), ("", _SOURCES), ("", _ORGANIC_SOURCES))
    site = f"[lower(ifNull({read(_DOMAIN)}, ''))]"
    return f"arrayMap(site -> if(site = '$direct', 'Direct', {looked_up}), {site})[1]"


def of_person(properties: str) -> Callable[[str], str]:
    """Return what reads the first values of a person's visits, which are kept among its properties."""
    return lambda key: f"JSONExtractString({properties}, '$initial_{key.removeprefix('$')}')"
