"""Which platform deploys: what was asked for, or what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core.errors import AbraError
from harness.core.settings import Settings
from harness.platforms.abra.platform import SERVER, AbraPlatform
from harness.platforms.abra.program import Abra, detect
from harness.platforms.base import Images, Platform, Target
from harness.platforms.swarm import SwarmPlatform
from harness.recipes.meta import RecipeMeta
from harness.recipes.policy.allowed import Policy
from harness.run.testbed import TestBed


def abra_for(
    settings: Settings, environ: Mapping[str, str], *, say: Callable[[str], None]
) -> Abra | None:
    """Return the abra that is to deploy, or None where the harness does so itself.

    Raises:
        AbraError: it was asked for by name, and is missing or of no use.
    """
    if settings.platform == "swarm":
        return None
    if settings.platform == "abra":
        return detect(environ, settings.cache)
    if not _has_server(environ):
        return None
    try:
        return detect(environ, settings.cache)
    except AbraError as error:
        say(f"platform  swarm: {error.what}")
        return None


def _has_server(environ: Mapping[str, str]) -> bool:
    """Whether `abra server add --local` was called here: a server that is this machine's engine."""
    home = Path(environ.get("HOME", "/root"))
    directory = Path(environ.get("ABRA_DIR") or home / ".abra")
    return (directory / "servers" / SERVER).is_dir()


def platform_for(
    abra: Abra | None,
    *,
    bed: TestBed,
    target: Target,
    work: Path,
    directory: Path,
    environ: Mapping[str, str],
    meta: RecipeMeta,
    factor: float,
    policy: Policy,
) -> Platform:
    """Return what deploys for one run.

    Args:
        abra: the program, where it is to deploy.
        bed: the engine.
        target: the names that this run has for itself.
        work: a directory of this run's own, which goes with it.
        directory: the run's directory, which stays.
        environ: what abra may take from the user's environment.
        meta: the variables that the recipe needs besides `.env.sample`, and its limits.
        factor: multiplies the time-outs.
        policy: what the recipe may ask of the host.
    """
    images: Images = bed.images
    limits = bed.limits(meta.LIMITS)
    if abra is None:
        return SwarmPlatform(
            client=bed.client,
            environ=bed.engine.environ({}),
            target=target,
            work=work,
            dnsrr=bed.dnsrr,
            images=images,
            extra_env=meta.EXTRA_ENV,
            limits=limits,
            deploy_flags=bed.deploy_flags,
            nodes=bed.nodes,
            policy=policy,
        )
    return AbraPlatform(
        abra=abra,
        client=bed.client,
        environ=bed.engine.environ(environ),
        target=target,
        work=work,
        log=directory / "logs" / "abra.calls.log",
        dnsrr=bed.dnsrr,
        images=images,
        extra_env=meta.EXTRA_ENV,
        limits=limits,
        nodes=bed.nodes,
        factor=factor,
        policy=policy,
    )
