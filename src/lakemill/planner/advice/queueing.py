"""Waiting at an endpoint whose workers share one queue.

References
----------
Erlang (1917), Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges: who must wait. Cosmetatos (1976), Some approximate equilibrium results for the multi-server queue (M/G/r),
Operational Research Quarterly 27(3): waiting where all services take alike.
"""

from __future__ import annotations

from math import log, sqrt


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that a request must wait, in the queue M/M/c.

    Parameters
    ----------
    servers
        c.
    load
        Requests a second times seconds of each, below c.

    References
    ----------
    Erlang (1917); by the recursion of his B formula, which is stable.

    Examples
    --------
    >>> round(erlang_c(1, 0.7), 6), round(erlang_c(2, 1.0), 6)
    (0.7, 0.333333)
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def waiting_seconds(servers: int, load: float, *, seconds: float, quantile: float) -> float:
    """Return the waiting time that a share of requests stays below, in the queue M/M/c.

    References
    ----------
    Erlang (1917): of those who wait, the time is exponential with rate ``(c - load) / seconds``.

    Examples
    --------
    >>> round(waiting_seconds(1, 0.5, seconds=1.0, quantile=0.95), 3)
    4.605
    """
    longer = erlang_c(servers, load) / (1 - quantile)
    return log(longer) * seconds / (servers - load) if longer > 1 else 0.0


def steady_share(servers: int, load: float) -> float:
    """Return the waiting of M/D/c, where services take alike, as a share of that of M/M/c.

    References
    ----------
    Cosmetatos (1976): exact for one server, within a few percent for several.

    Examples
    --------
    >>> steady_share(1, 0.7)
    0.5
    """
    spare = (1 - load / servers) * (servers - 1) * (sqrt(4 + 5 * servers) - 2) / (16 * load)
    return min(1.0, (1 + spare) / 2)
