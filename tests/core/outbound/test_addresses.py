"""Which URLs are refused, whatever way an address is written or found."""

import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.outbound.addresses import UrlRefusedError, address_allowed, url_check, url_read
from tests.core.outbound.conftest import Answers

pytestmark = pytest.mark.usefixtures("allowed")

NOT_PUBLIC = "not on the public Internet"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1.2.3", "0.1.2.3", "10.0.0.8", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.2.7", "[::]", "[::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]",
        "[fd00:ec2::254]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::ffff:7f00:1]", "[::127.0.0.1]",
        "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001::1]",
        "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(host: str) -> None:
    for url in (f"http://{host}/", f"https://{host}:8443/x?y=z"):
        with pytest.raises(UrlRefusedError, match=NOT_PUBLIC):
            url_check(url)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "1.2.3.4.5",
        "127.0.0.01", "127.0.0.0x1", "8.8.2056", "256.1.1.1", "127.0.0.1.2130706433", "0", "0x",
    ],
)  # fmt: skip
def test_numbers_in_other_notations(host: str) -> None:
    with pytest.raises(UrlRefusedError, match="four decimal numbers"):
        url_check(f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "needed"),
        (7, "needed"),
        (["http://example.com/"], "needed"),
        ("", "needed"),
        ("example.com/hook", "must begin with"),
        ("//example.com/hook", "must begin with"),
        ("ftp://example.com/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("http://user@example.com/", "user name"),
        ("http://user:password@example.com/", "user name"),
        ("http://example.com@127.0.0.1/", "user name"),
        ("http://@example.com/", "user name"),
        ("http://example.com\\@127.0.0.1/", "backslashes"),
        ("http://example.com /", "spaces"),
        (" http://example.com/", "spaces"),
        ("http://example.com/\r\nHost: x", "control"),
        ("http://exam\tple.com/", "control"),
        ("http://example.com/\x00", "control"),
        ("http://example.com/" + chr(0xFFFD), "control"),
        ("http://example.com/\ud800", "control"),
        ("http://example.com/\u200b", "control"),
        ("http://", "host name"),
        ("http:///path", "host name"),
        ("http://?x", "host name"),
        ("http://.", "host name"),
        ("http://a..b/", "host name"),
        ("http://-a.example/", "host name"),
        ("http://127%2e0%2e0%2e1/", "host name"),
        ("http://exa%6dple.com/", "host name"),
        ("http://\uff11\uff12\uff17.0.0.1/", "host name"),
        ("http://127\u30020\u30020\u30021/", "host name"),
        ("http://b\u00fccher.example/", "host name"),
        ("http://\u2100.example/", "not a URL"),
        (f"http://{'a' * 64}.example/", "host name"),
        (f"http://{'a.' * 130}example/", "host name"),
        ("http://[::1/", "not a URL"),
        ("http://[::1%25lo]/", "IPv6|not a URL"),
        ("http://[v1.fe80]/", "host name|IPv6|not a URL"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "not a URL"),
        ("http://example.com:abc/", "not a URL"),
        ("http://example.com/" + "a" * 2_000, "longer than"),
    ],
)
def test_what_is_no_usable_url(url: object, reason: str) -> None:
    with pytest.raises(UrlRefusedError, match=reason):
        url_check(url)


def test_a_url_in_parts() -> None:
    target = url_read("HTTPS://Example.COM.:8443/a b".replace(" ", "%20") + "/\u00e9?q=\u00fc&r=%41#part")
    assert (target.scheme, target.host, target.port) == ("https", "example.com", 8443)
    assert target.path == "/a%20b/%C3%A9?q=%C3%BC&r=%41"
    assert url_read("http://example.com").path == "/"
    assert url_read("http://example.com?x=1").path == "/?x=1"
    assert (url_read("http://[2606:4700:0:0::1]").host, url_read("http://x.y").port) == ("2606:4700::1", 80)


def test_what_logs_may_show_of_a_url() -> None:
    target = url_read("https://hooks.example.com:444/services/T0/secret?token=secret")
    assert target.origin == "https://hooks.example.com"
    assert url_read("http://[2606:4700::1]:8/x").origin == "http://[2606:4700::1]"
    assert "secret" not in f"{target!r} {target}"


def test_names_are_judged_by_all_their_addresses(names: dict[str, Answers]) -> None:
    names["public.example"] = [["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]]
    names["mixed.example"] = [["93.184.215.14", "10.0.0.1"]]
    names["six.example"] = [["93.184.215.14", "::1"]]
    names["localhost"] = [["127.0.0.1"]]
    url_check("https://public.example/hook")
    for name in ("mixed.example", "six.example", "localhost", "localhost."):
        with pytest.raises(UrlRefusedError, match=NOT_PUBLIC) as refused:
            url_check(f"https://{name}/hook")
        assert "10.0.0.1" not in str(refused.value)


def test_a_name_that_does_not_resolve_is_judged_later(names: dict[str, Answers]) -> None:
    names["broken.example"] = [socket.gaierror(socket.EAI_AGAIN, "later")]
    names["odd.example"] = [UnicodeError("label too long")]
    for name in ("unknown.example", "broken.example", "odd.example"):
        url_check(f"https://{name}/hook")


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    end, ended = threading.Event(), []

    def hang(*_: object, **__: object) -> list[object]:
        ended.append(end.wait(120))
        return []

    monkeypatch.setattr("core.outbound.addresses._CHECK_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        url_check("https://slow.example/hook")
        assert not ended
    finally:
        end.set()


def test_what_the_operator_allows(allowed: Callable[..., None], names: dict[str, Answers]) -> None:
    names["inside.example"] = [["10.1.2.3"]]
    names["both.example"] = [["10.1.2.3", "10.2.0.1"]]
    allowed("10.1.0.0/16", "::1/128")
    for url in ("http://10.1.255.255/", "http://inside.example/", "http://[::1]/"):
        url_check(url)
    for url in ("http://10.2.0.1/", "http://both.example/", "http://127.0.0.1/", "http://[::ffff:10.1.2.3]/"):
        with pytest.raises(UrlRefusedError, match=NOT_PUBLIC):
            url_check(url)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
@example(IPv4Address("8.8.8.8"))
@example(IPv4Address("192.0.0.9"))
def test_no_ipv4_address_is_let_through_that_python_calls_private(address: IPv4Address) -> None:
    if address_allowed(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved
    else:
        assert not address.is_global or address.is_multicast or str(address).startswith(("192.", "168.63."))


@settings(deadline=None)
@given(st.ip_addresses(v=6))
@example(IPv6Address("2606:4700::1"))
@example(IPv6Address("::ffff:8.8.8.8"))
@example(IPv6Address("2002:808:808::"))
def test_no_ipv6_address_is_let_through_that_python_calls_private(address: IPv6Address) -> None:
    if address_allowed(address):
        assert address.is_global
        assert not (address.is_multicast)
        assert not (address.is_reserved)
        assert not (address.is_site_local)
        assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)
