"""What a run knows about itself: for assertions, seed hooks, and the commands of ops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.assertions.app import App
from harness.assertions.health import health_of
from harness.assertions.protocol import Facts
from harness.core.model import Stage
from harness.platforms.base import Deployed
from harness.stages.context import Context
from harness.stages.handover import HandOvers

CONTAINER_SECONDS = 60.0


@dataclass(kw_only=True)
class Known:
    """What one run knows about itself by now.

    Args:
        context: what its ops share.
        given: the hand-overs.
        commit: what is deployed; empty before the install, as are the next two.
        chaos: whether it is deployed as a head is.
        deployed: what the platform says of it.
        base_unusable: why the head was installed alone, or empty.
        reader: the id of the container that asks for pages; empty until the app is up.
        seen: what each op reported, by stage; an op that went wrong may report something, too.
        state: what the seed hooks remember.
    """

    context: Context
    given: HandOvers
    commit: str = ""
    chaos: bool = False
    deployed: Deployed = field(
        default_factory=lambda: Deployed(version="", services=(), doors=(), timeout=0.0)
    )
    base_unusable: str = ""
    reader: str = ""
    seen: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def patience(self) -> float:
        """How long is waited for a container that is being replaced, without the factor."""
        return max(CONTAINER_SECONDS, self.context.app_seconds)

    def facts(self, stage: Stage) -> Facts:
        """Return what the run knows about itself in that stage."""
        plan, target, deployed = self.context.plan, self.context.target, self.deployed
        base = None if self.base_unusable else plan.base
        answered, earlier = self.given.pages.earlier(stage)
        return Facts(
            run=target.run,
            recipe=plan.recipe,
            stack=target.stack,
            domain=target.domain,
            stage=stage,
            deployed=self.commit,
            deployed_version=deployed.version,
            services=deployed.services,
            chaos=self.chaos,
            base_commit=base.commit if base else "",
            base_version=str(base.version) if base else "",
            deploys=2 if self.base_unusable else 1,
            head_commit=plan.head.commit,
            head_version=str(plan.head.version or ""),
            head_release=plan.head.release,
            ledger=str(self.context.ledger.path),
            health=health_of(
                self.context.meta,
                deployed.services,
                deployed.doors,
                answered=answered,
                earlier=earlier,
            ),
            handed_over=self.given.last.containers,
            seen=self.seen,
            state=self.state,
        )

    def app(self, stage: Stage) -> App:
        """Return the handle to the app that is up."""
        return App(
            nodes=self.context.nodes,
            facts=self.facts(stage),
            reader=self.reader,
            readers=self.context.tools.readers,
            patience=self.patience,
            factor=self.context.factor,
            note=self.context.ledger.note,
        )
