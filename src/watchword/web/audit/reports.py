"""The reports on identities: unused, never used, ending and risky ones, and to disable several at once."""

from collections.abc import Sequence
from typing import Any, Final

from watchword.domain.errors import Invalid, Refusal
from watchword.services.access.scopes import own_org
from watchword.services.identities import lifecycle
from watchword.services.identities.lifecycle import Disable, ReportQuery
from watchword.web.exports import csv_file
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.rendering import day, exact, plural

pages = Pages()
SIZE: Final = 50
_MOST: Final = 500  # rows of a file
REPORTS: Final = (
    ("unused", "Unused"),
    ("never-used", "Never used"),
    ("expiring", "Ending"),
    ("risky", "Risky"),
)
_LEDES: Final = {
    "unused": "They logged in once, and not for a while. Disable now, enable when asked.",
    "never-used": "They were made a while ago, and never logged in.",
    "expiring": "Identities, client secrets, tokens, certificates and keys that end by themselves.",
    "risky": "Settings that let in more than their author may have meant.",
}
_QUESTIONS: Final = {
    "unused": "Not used for days",
    "never-used": "Made at least days ago",
    "expiring": "Ending within days",
}
_SPANS: Final = (7, 30, 60, 90, 180)  # days, that are one click away
_SEVERITIES: Final = (("", "any"), ("high", "high"), ("medium", "medium"), ("low", "low"))
_TONES: Final = {"high": "bad", "medium": "warn", "low": ""}


def _query(kind: str, asked: Form, limit: int) -> ReportQuery:
    """The query of a report's page. Raises Invalid."""
    if kind == "risky":
        own = {"code": asked.text("code"), "severity": asked.text("severity")}
    else:
        own = {"days": asked.text("days")}
    return read(ReportQuery, {**own, "cursor": asked.text("cursor"), "limit": limit})


@pages.get("/{organization}/reports")
async def reports(visit: Visit) -> Answer:
    """Lead to the first report."""
    return Redirect(to=visit.link("reports", "unused"))


@pages.get("/{organization}/reports/{report}")
async def report(visit: Visit, report: str) -> Answer:
    """One report."""
    ctx, asked = visit.ctx, visit.query
    found, faults, status = None, Faults(), 200
    try:
        found = await lifecycle.report(ctx, report, _query(report, asked, SIZE))
    except Invalid as refusal:
        if report not in _LEDES:
            raise
        faults, status = Faults(refusal), refusal.status
    if asked["format"] == "csv" and found is not None:
        return await _file(visit, report)
    days = asked.text("days") or "30"
    # "All" leaves out what keeps the instance: that is disabled only where somebody picks it.
    several = [identity.id for identity in found.identities if not identity.is_instance_admin] if found else []
    data = {
        "kind": report,
        "reports": [(kind, text, visit.link("reports", kind)) for kind, text in REPORTS],
        "lede": _LEDES[report],
        "question": _QUESTIONS.get(report, ""),
        "days": days,
        "spans": [(plural(span, "day"), visit.again(days=span, cursor=None), days == str(span)) for span in _SPANS],
        "severities": _SEVERITIES,
        "asked": asked,
        "faults": faults,
        "rows": _rows(ctx.runtime.methods, found) if found else (),
        "several": several,
        "further": visit.again(cursor=found.next_cursor) if found and found.next_cursor else "",
        "is_first": not asked["cursor"],
        "first": visit.again(cursor=None),
        "csv": visit.again(format="csv", cursor=None),
        "may_edit": ctx.may(await own_org(ctx), "edit", "identity"),
        "tones": _TONES,
        "good_news": _good_news(report, days),
    }
    return Page(template="audit/report.html", title=f"{dict(REPORTS)[report]}: report", data=data, status=status)


def _good_news(kind: str, days: str) -> str:
    span = "1 day" if days == "1" else f"{days} days"
    return {
        "unused": f"Every identity that ever logged in did so within {span}",
        "never-used": f"Every identity that is older than {span} has logged in",
        "expiring": f"Nothing ends within {span}",
        "risky": "No setting is risky",
    }[kind]


def _rows(methods: Any, found: lifecycle.ReportPage) -> Sequence[dict[str, Any]]:
    return [
        {
            "identity": identity,
            "methods": [
                methods[slug].title if slug in methods else slug for slug in found.methods.get(identity.id, ())
            ],
            "risks": [(each.risk, each.method) for each in found.risks.get(identity.id, ())],
            "endings": [(_ending(each), each) for each in found.endings.get(identity.id, ())],
        }
        for identity in found.identities
    ]


def _ending(ending: Any) -> str:
    kinds = {"identity": "the identity itself", "client-secret": "a client secret", "token": "a token"}
    text = kinds.get(ending.kind, f"a {ending.kind} in {ending.field or ending.method}")
    return f"{text}, {ending.name}" if ending.name and ending.kind != "identity" else text


async def _file(visit: Visit, kind: str) -> Answer:
    """The report as a file, its first rows."""
    found = await lifecycle.report(visit.ctx, kind, _query(kind, visit.query, _MOST))
    rows = [
        (
            row["identity"].id,
            row["identity"].name,
            row["identity"].owner,
            "; ".join(row["methods"]),
            exact(row["identity"].last_login_at),
            exact(row["identity"].created_at),
            "yes" if row["identity"].is_disabled else "no",
            "; ".join(f"{risk.severity}: {risk.message} ({method})" for risk, method in row["risks"]),
            "; ".join(f"{text} on {day(ending.ends_at)}" for text, ending in row["endings"]),
        )
        for row in _rows(visit.ctx.runtime.methods, found)
    ]
    header = ("id", "name", "owner", "methods", "last login", "made", "disabled", "risks", "ends")
    return csv_file(f"report-{kind}.csv", header, rows)


@pages.post("/{organization}/reports/{report}")
async def disable(visit: Visit, report: str) -> Answer:
    """Disable the identities that were picked, or all that the page showed.

    What is refused for one is done for the others.
    """
    if report not in _LEDES:
        raise Invalid.of("report", f"One of {', '.join(_LEDES)}")
    back = visit.again()
    picked = list(dict.fromkeys(visit.form.all("shown" if visit.form["all"] else "pick")))[:SIZE]
    if not picked:
        return Redirect(to=back, notice="Nothing was picked, so nothing was done", tone="warn")
    done, refused = 0, dict[str, int]()
    for id in picked:
        try:
            await lifecycle.disable(visit.ctx, id, Disable())
            done += 1
        except Refusal as refusal:
            refused[refusal.message] = refused.get(refusal.message, 0) + 1
    said = [f"{plural(done, 'identity is', 'identities are')} disabled: all their logins and tokens are refused"]
    said = said if done else []
    said += [f"{plural(count, 'identity', 'identities')} left as before: {text}" for text, count in refused.items()]
    return Redirect(to=back, notice=". ".join(said), tone="ok" if not refused else "warn" if done else "bad")
