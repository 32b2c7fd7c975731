"""From a pull request's address to the forge that can be asked about it."""

from __future__ import annotations

from collections.abc import Callable

import requests

from harness.ci.forge import gitea, github, gitlab
from harness.ci.forge.address import Address, Kind
from harness.ci.forge.api import Api
from harness.ci.forge.base import Forge
from harness.ci.forge.token import Token
from harness.core.waiting import SYSTEM_CLOCK, Clock


def open_forge(
    address: Address,
    token: Token | None,
    *,
    say: Callable[[str], None],
    session: requests.Session | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Forge:
    """Return the forge, with nothing asked of it yet.

    Raises:
        UsageError: the token must not be sent to that address.
    """
    sign = {Kind.GITEA: gitea.sign, Kind.GITHUB: github.sign, Kind.GITLAB: gitlab.sign}
    api = Api(
        base=address.api,
        token=token,
        sign=sign[address.kind],
        headers=github.HEADERS if address.kind is Kind.GITHUB else {},
        say=say,
        clock=clock,
        session=session or requests.Session(),
    )
    if address.kind is Kind.GITHUB:
        return github.GitHub(api=api, address=address)
    if address.kind is Kind.GITLAB:
        return gitlab.GitLab(api=api, address=address)
    return gitea.Gitea(api=api, address=address)
