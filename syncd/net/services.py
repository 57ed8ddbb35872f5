"""Where a service is: SRV records (RFC 2782), by dnspython, which is loaded only if a name needs it."""

import asyncio
from typing import Final

from syncd.net.endpoint import resolve

LOOKUP_SECONDS: Final = 5.0  # for an answer of the name servers, as the resolver of the C library has it
MAX_TARGETS: Final = 64  # hosts of one service that are looked up


class LookupFailed(Exception):
    """The name servers cannot be asked now; the message is the reason for the status."""


async def find_service(name: str) -> list[tuple[str, int]]:
    """All addresses of all hosts of a service, those of the lowest priority first; empty if it has none.

    Raises LookupFailed.
    """
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver()
        answer = await resolver.resolve(name, "SRV", lifetime=LOOKUP_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise LookupFailed(f"the SRV record of {name} cannot be looked up: {_said(error)}") from None
    records = sorted(answer, key=lambda record: (record.priority, -record.weight))[:MAX_TARGETS]
    targets = [(str(record.target).rstrip("."), int(record.port)) for record in records]
    found = await asyncio.gather(*(resolve(host, port) for host, port in targets if host))
    return list(dict.fromkeys(address for addresses in found for address in addresses))


def _said(error: Exception) -> str:
    """One line without the names and times that would make each message a new one."""
    text = type(error).__name__ if not str(error) else str(error).splitlines()[0]
    return "no answer in time" if "lifetime expired" in text else text
