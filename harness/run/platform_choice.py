"""What deploys for one run: abra, or the harness itself."""

from __future__ import annotations

from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.base import Images, Platform
from harness.platforms.swarm import SwarmPlatform
from harness.run.studied import Studied


def platform_for(run: Studied) -> Platform:
    """Return what deploys for one run."""
    bed, meta, policy = run.bed, run.subject.meta, run.subject.policy
    images: Images = bed.images
    limits = bed.limits(meta.LIMITS)
    if run.abra is None:
        return SwarmPlatform(
            client=bed.client,
            environ=bed.engine.environ({}),
            target=run.target,
            work=run.work,
            dnsrr=bed.dnsrr,
            images=images,
            extra_env=meta.EXTRA_ENV,
            limits=limits,
            deploy_flags=bed.deploy_flags,
            nodes=bed.nodes,
            policy=policy,
        )
    return AbraPlatform(
        abra=run.abra,
        client=bed.client,
        environ=bed.engine.environ(run.environ),
        target=run.target,
        work=run.work,
        log=run.directory / "logs" / "abra.calls.log",
        dnsrr=bed.dnsrr,
        images=images,
        extra_env=meta.EXTRA_ENV,
        limits=limits,
        nodes=bed.nodes,
        factor=run.settings.timeout_factor,
        policy=policy,
    )
