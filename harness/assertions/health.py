"""Which page of an app shows that it works: by the recipe's meta, else by its own files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.assertions.look import Page, Seen, Sign
from harness.assertions.protocol import Health
from harness.core.errors import InvalidRecipeError
from harness.core.model import RunWarning, WarningCode
from harness.recipes.compose import Compose
from harness.recipes.doors import HTTP_PORT, Door
from harness.recipes.meta import RecipeMeta
from harness.recipes.routers import dropped


def health_of(
    meta: RecipeMeta,
    services: Sequence[str],
    doors: Sequence[Door],
    *,
    answered: str = "",
    earlier: Page | None = None,
) -> Health:
    """Return how what is deployed now is asked whether it works: a head may listen elsewhere.

    Args:
        meta: the recipe's meta; whatever it says goes before the recipe's files.
        services: those that are deployed.
        doors: the ways to a page, the best first.
        answered: the stage after which its page was there, or empty.
        earlier: that page.

    Raises:
        InvalidRecipeError: the service that the meta names is not there.
    """
    if meta.HEALTH_SERVICE is None:
        return Health(service="", doors=tuple(doors))
    if meta.HEALTH_SERVICE and meta.HEALTH_SERVICE not in services:
        raise InvalidRecipeError(
            f"HEALTH_SERVICE '{meta.HEALTH_SERVICE}' is not a service of this recipe",
            hint=f"set HEALTH_SERVICE in recipe_meta.py to one of {', '.join(services)}",
        )
    door = _door(meta, services, doors)
    if door is None:
        return Health(service="", answered=answered, earlier=earlier)
    port = meta.HEALTH_PORT or door.port or HTTP_PORT
    same = port == door.port
    return Health(
        service=door.service,
        port=port,
        scheme=door.scheme if same else "http",
        path=meta.HEALTH_PATH or door.path,
        status=meta.HEALTH_STATUS,
        marker=meta.MARKER,
        check="" if meta.HEALTH_PATH or not same else door.check,
        certain=door.certain or meta.asks_for_a_page(),
        answered=answered,
        earlier=earlier,
        doors=tuple(doors),
    )


def _door(meta: RecipeMeta, services: Sequence[str], doors: Sequence[Door]) -> Door | None:
    """Return the best door that fits the meta, or a likely one where only the meta wants a page."""
    fitting = [door for door in doors if door.service == (meta.HEALTH_SERVICE or door.service)]
    door = next((one for one in fitting if one.port == meta.HEALTH_PORT), next(iter(fitting), None))
    if door is None and meta.asks_for_a_page():
        likely = "app" if "app" in services else services[0]
        return Door(service=meta.HEALTH_SERVICE or likely)
    return door


def page_warning(page: Page, health: Health, meta: RecipeMeta) -> RunWarning | None:
    """Return what has to stand beside the verdict about an app's page, or None."""
    if page.seen is Seen.NOTHING:
        declared = meta.HEALTH_SERVICE is None and not any(door.certain for door in health.doors)
        return RunWarning(
            code=WarningCode.NO_PAGE,
            text="no page of the app was asked for: no service has an HTTP router of Traefik or an "
            "HTTP health check" + (", and nothing listens on port 80" if health.service else ""),
            next="if it has a page, set HEALTH_SERVICE and HEALTH_PORT in recipe_meta.py; "
            "HEALTH_SERVICE = None says that it has none",
            accepted="HEALTH_SERVICE = None in recipe_meta.py" if declared else "",
        )
    if page.seen is Seen.REFUSED:
        return RunWarning(
            code=WarningCode.PAGE_REFUSED,
            text=f"service {health.service} answers {health.path} with status {page.status} and "
            "asks for no login, so no page of the app was seen",
            next="set HEALTH_PATH in recipe_meta.py to a page that anybody may see, or "
            f"HEALTH_STATUS = {page.status} if that is right",
        )
    if page.unbalanced:
        return RunWarning(
            code=WarningCode.ROUTER_DROPPED,
            text=f"service {health.service}: {page.unbalanced}, so Traefik takes it for dead and "
            "sends no visitor there",
            next="correct loadbalancer.healthcheck.path in its labels: visitors get a 503",
        )
    if page.seen is Seen.PAGE and page.changed:
        return RunWarning(
            code=WarningCode.PAGE_CHANGED,
            text=f"service {health.service}: {page.changed}; it was not so after {health.answered}",
            next="open the page; MARKER in recipe_meta.py names a text that shows that it is right",
        )
    if page.seen is Seen.PAGE and Sign.ERROR in page.signs and health.earlier is None:
        return RunWarning(
            code=WarningCode.PAGE_SHOWS_ERROR,
            text=f"service {health.service} answers {health.path} with status {page.status}, and "
            "its page shows the error of a program",
            next="look at its log; MARKER in recipe_meta.py names a text that shows that it works",
        )
    return None


def router_warnings(compose: Compose) -> Iterator[RunWarning]:
    """Yield a warning for each router that Traefik drops: it leads no visitor to the app."""
    for service, router, why in dropped(compose):
        yield RunWarning(
            code=WarningCode.ROUTER_DROPPED,
            text=f"Traefik drops the HTTP router {router} of service {service}: {why}",
            next="correct the labels of that service: visitors get a 404",
        )


def said_of(doors: Sequence[Door], meta: RecipeMeta, services: Sequence[str]) -> str:
    """Return the plan's line about the page that will be asked for."""
    health = health_of(meta, services, doors)
    if not health.service:
        return "no page is asked for"
    by = next((d.why for d in doors if d.service == health.service and d.why), "")
    by = "recipe_meta.py" if meta.asks_for_a_page() else by or "a guess: nothing names a page"
    other = f", else {health.check} as its health check asks" if health.check else ""
    return f"page: {health.scheme}://{health.service}:{health.port}{health.path}{other} ({by})"
