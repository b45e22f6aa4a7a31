"""Values that fields of a project choose from."""

from functools import cache
from typing import Final
from zoneinfo import available_timezones

# What some systems keep beside the zones of the IANA list.
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})

WEEK_STARTS: Final = ((0, "Sunday"), (1, "Monday"))
HASH_MODES: Final = ((0, "Off"), (1, "Stateless"), (2, "Stateful"))
TRIGGER_MATCHES: Final = ("all", "any")
RETENTION_PERIODS: Final = ("30d", "90d", "1y", "5y")
ATTRIBUTION_MODES: Final = ("first_touch", "last_touch", "linear", "time_decay", "position_based")
CURRENCIES: Final = tuple(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTC BTN BWP BYN BZD CAD CDF
    CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LTL LVL LSL LYD MAD MDL MGA MKD
    MMK MNT MOP MRU MTL MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB
    RWF SAR SBD SCR SDG SEK SGD SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV
    WST XAF XCD XOF XPF YER ZAR ZMW""".split()  # noqa: SIM905 a table is easier to read
)
DEFAULT_CURRENCY: Final = "USD"


@cache
def time_zones() -> frozenset[str]:
    """Return the names of the IANA time zones that this server knows."""
    return frozenset(available_timezones()) - _NO_ZONES | {"UTC"}
