"""Tell by which names a server may be addressed: other names could be made to lead to it (DNS rebinding)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def is_own_host(host: str, allowed: Collection[str] = ()) -> bool:
    """Whether a Host header is a name that cannot be made to lead here from elsewhere.

    Args:
        host: the header: localhost, an IP address or a name, perhaps with a port.
        allowed: further names, in lower case; one that begins with a dot allows all names that end in it.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name == "localhost" or any(
        name == each or (each.startswith(".") and name.endswith(each)) for each in allowed
    ):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
