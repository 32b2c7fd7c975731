"""Seed hooks: a calendar with an event in it, put there as a calendar program would."""

import secrets

from harness.api import App, Request, Response, SeedContext

CALENDAR = "/admin/work"
XML = '<?xml version="1.0" encoding="utf-8"?>'
MAKE_CALENDAR = (
    f'{XML}<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">'
    "<D:set><D:prop><D:displayname>Work</D:displayname></D:prop></D:set></C:mkcalendar>"
)


def ask(app: App, method: str, path: str, body: str | None = None) -> Response:
    """Send a request as the admin, whose password is the generated secret."""
    password = app.read_file("/run/secrets/admin_password").decode()
    kind = "text/calendar" if path.endswith(".ics") else "application/xml"
    return app.http(
        Request(
            path=path, method=method, auth=f"admin:{password}", body=body,
            headers={"Content-Type": f"{kind}; charset=utf-8"},
        )
    )  # fmt: skip


def event(uid: str, summary: str) -> str:
    """Return an event as an iCalendar object (RFC 5545)."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//cc-ci//EN", "BEGIN:VEVENT", f"UID:{uid}"]
    lines += ["DTSTAMP:20250101T000000Z", "DTSTART:20250102T090000Z", "DTEND:20250102T100000Z"]
    return "\r\n".join([*lines, f"SUMMARY:{summary}", "END:VEVENT", "END:VCALENDAR", ""])


def _put(ctx: SeedContext, uid: str, summary: str) -> None:
    answer = ask(ctx.app, "PUT", f"{CALENDAR}/{uid}.ics", event(uid, summary))
    assert answer.status in {201, 204}, (answer.status, answer.text, answer.error)


def _seed(ctx: SeedContext) -> None:
    if "summary" not in ctx.state:
        made = ask(ctx.app, "MKCALENDAR", f"{CALENDAR}/", MAKE_CALENDAR)
        assert made.status == 201, (made.status, made.text, made.error)
        ctx.state["summary"] = f"Meeting {secrets.token_hex(8)}"
        _put(ctx, "seeded", ctx.state["summary"])


def pre_upgrade(ctx: SeedContext) -> None:
    """Have something that the upgrade could lose."""
    _seed(ctx)


def pre_backup(ctx: SeedContext) -> None:
    """Have something in the backup."""
    _seed(ctx)


def pre_restore(ctx: SeedContext) -> None:
    """Delete and add, so that a restore which does nothing cannot pass."""
    gone = ask(ctx.app, "DELETE", f"{CALENDAR}/seeded.ics")
    assert gone.status in {200, 204}, (gone.status, gone.text, gone.error)
    _put(ctx, "later", "Made after the backup")
