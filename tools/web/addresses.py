"""Which addresses are the public web."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address

WEB_PORTS = frozenset({80, 443})

# By hand from IANA's special-purpose registries: `is_global` differs between Python releases.
_PRIVATE_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata and wire server: public by number only
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All else is local, multicast, or carries an IPv4 address (v4-mapped, NAT64)."""
_PRIVATE_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo is in it
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether `address` is a host of the public internet, and no way to one that is not."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _PRIVATE_V4)
    if address.scope_id or address not in _GLOBAL_UNICAST_V6:
        return False
    return not any(address in block for block in _PRIVATE_V6)


def public_web(address: IPAddress, port: int) -> bool:
    """The default of what may be fetched: public hosts, at the ports of http and https."""
    return port in WEB_PORTS and is_public(address)
