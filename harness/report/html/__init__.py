"""The run as one HTML file that needs nothing else: no network, no script, no other file.

Whatever a recipe says is text: every value is escaped by the template, and a content security
policy keeps a browser from running or fetching anything, should that fail one day.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import jinja2

from harness.core.measured import Screenshot, seconds, size
from harness.core.untrusted import visible_value
from harness.report.answer import place
from harness.report.html import logs, view
from harness.report.results import RunResult

HTML_FILE = "report.html"
HERE = Path(__file__).resolve().parent


def try_to_render(result: RunResult, directory: Path) -> tuple[str, str]:
    """Return the text of report.html, or empty and the reason.

    A verdict stands, even if it cannot be shown.
    """
    try:
        return render(result, logs.read(directory / "logs"), _pictures(result, directory)), ""
    except Exception as error:  # noqa: BLE001  as said above
        return "", f"{directory / HTML_FILE} could not be written: {error!r}"


def render(
    result: RunResult, written: Mapping[str, str], pictures: Mapping[str, bytes] | None = None
) -> str:
    """Return the run as the text of one HTML file.

    Args:
        result: the run.
        written: the services' logs, by service.
        pictures: PNG files, by the name that the result gives them.
    """
    css = (HERE / "report.css").read_text()
    moment = logs.moment(result)
    template = _environment().get_template("report.html.jinja")
    return template.render(
        run=result,
        css=css,
        style_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        answer=view.sentence(result),
        bars=view.timeline(result),
        changes=view.changes(result),
        upgraded=view.upgraded(result),
        taken=view.taken(result),
        grown=view.grown(result),
        decisive=view.decisive(result),
        logs=[logs.excerpt(name, text, moment) for name, text in sorted(written.items())],
        moment=moment,
        pictures=[(one, _data(one, pictures or {})) for one in result.screenshots],
    )


def _pictures(result: RunResult, directory: Path) -> Mapping[str, bytes]:
    found = {}
    for one in result.screenshots:
        with suppress(OSError):
            found[one.file] = (directory / one.file).read_bytes() if one.file else b""
    return found


def _data(one: Screenshot, pictures: Mapping[str, bytes]) -> str:
    found = pictures.get(one.file, b"") if one.file else b""
    return f"data:image/png;base64,{base64.b64encode(found).decode()}" if found else ""


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=visible_value,
    )  # fmt: skip
    environment.filters.update(
        test_name=view.test_name,
        test_file=view.test_file,
        place=place,
        size=size,
        seconds=seconds,
        first_line=view.first_line,
        rest=view.rest,
        told=view.told,
    )
    return environment
