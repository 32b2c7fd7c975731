"""The app's page, as it answered after each op: asked for until it answers, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from harness.assertions.app import App
from harness.assertions.health import page_warning
from harness.assertions.look import Page, Seen
from harness.assertions.page import ask, page_facts
from harness.core.errors import ContainerUnavailableError, RecipeError, WaitTimeoutError
from harness.core.events import Doing, Step
from harness.core.model import Stage
from harness.core.waiting import Deadline, wait_for
from harness.stages.context import Context

ANSWER_SECONDS = 60.0
GUESS_SECONDS = 5.0  # where nothing says that there is a page
UNLIKE_SECONDS = 20.0  # an app that has just come up may show that it is not ready


@dataclass(slots=True, kw_only=True)
class Pages:
    """The pages of one run, by the stage after whose op they were asked for.

    Args:
        context: what the ops of the run share.
    """

    context: Context
    _seen: dict[Stage, Page] = field(default_factory=dict)

    def earlier(self, stage: Stage) -> tuple[str, Page | None]:
        """Return the last stage before that one after which the page was there, and the page."""
        before = list(Stage)[: list(Stage).index(stage)]
        good = (one for one in reversed(before) if one in self._seen and self._seen[one].good)
        found = next(good, None)
        return (found, self._seen[found]) if found else ("", None)

    def facts(self, stage: Stage) -> Mapping[str, object]:
        """Return what is written down of a stage's page."""
        return {"page": page_facts(self._seen[stage])} if stage in self._seen else {}

    def wait(self, app: App, stage: Stage) -> None:
        """Wait, within bounds, until the app answers at all, and remember what it shows.

        A container without a health check counts as up before its program listens. What the answer
        is, and that there is one, is for the assertions to judge: nothing is raised here.
        """
        health = app.facts.health
        known = health.certain or health.answered
        seconds = max(ANSWER_SECONDS, self.context.app_seconds) if known else GUESS_SECONDS
        # The handle itself waits for a container that is new; here one look a time is wanted.
        app = replace(app, facts=replace(app.facts, handed_over=()))
        seen: list[Page] = []

        def look() -> Page:
            seen[:] = [ask(app)]
            return seen[0]

        with suppress(WaitTimeoutError, RecipeError), self.context.waiting():
            wait_for(
                look,
                what="an answer of the app",
                deadline=Deadline.after(seconds * self.context.factor),
                ready=lambda page: page.answered or not page.url,
                interval=0.2,
            )
            if seen[0].unlike or seen[0].unbalanced:
                wait_for(
                    look,
                    what="a page like the one of before",
                    deadline=Deadline.after(UNLIKE_SECONDS * self.context.factor),
                    ready=lambda page: not (page.unlike or page.unbalanced),
                    interval=1.0,
                )
        if seen:
            self._remember(seen[0], app, stage)

    def _remember(self, page: Page, app: App, stage: Stage) -> None:
        self._seen[stage] = page
        health = app.facts.health
        if page.seen is Seen.CHECK:
            self.context.step(Doing(step=Step.PAGE, stage=stage, about=health.check))
        if warning := page_warning(page, health, self.context.meta):
            self.context.warn(warning)

    def look_again(self, app: App, before: Stage) -> None:
        """Ask for the page once more before an op: it may have been set up since it was seen.

        The op is held to what is seen now. A page that is not there now stays as it was.
        """
        answered, earlier = self.earlier(before)
        if earlier is None:
            return
        health = replace(app.facts.health, answered="", earlier=None)
        facts = replace(app.facts, health=health, handed_over=())
        with suppress(RecipeError, ContainerUnavailableError):
            now = ask(replace(app, facts=facts, patience=GUESS_SECONDS))
            if now.good:
                self._seen[Stage(answered)] = now
