"""What the acts on the pages of alert channels are as text."""

from typing import Any

from watchword.services.identities import alert_channels
from watchword.web.as_text import Text, path_to
from watchword.web.identities.alerts import told_of
from watchword.web.pages import Texts, Visit
from watchword.web.projects.receiver_texts import KEY, URL, one_call, receiver_call

texts = Texts()
_PATH = "/api/v1/organization/alert-channels"


@texts.of("/{organization}/settings/alerts")
async def add_as_text(visit: Visit) -> Text:
    """A new channel, as text."""
    form = visit.form
    body: dict[str, Any] = {"name": form["name"].strip(), "type": form["kind"] or "general", **told_of(form)}
    if form["kind"] != "email":
        body |= {"url": URL, **({"secretKey": KEY} if form["key"] else {})}
    return one_call(f"The channel {form['name'].strip()}", "POST", _PATH, body)


@texts.of("/{organization}/settings/alerts/{channel}")
async def change_as_text(visit: Visit, channel: str) -> Text:
    """What the form of a channel does, as text."""
    one = await alert_channels.get(visit.ctx, channel)
    form, path = visit.form, path_to(_PATH + "/{}", one.record.id)
    fields = {"name": form["name"].strip(), **told_of(form)} if form["act"] == "save" else {}
    return receiver_call(form, path, f"the channel {one.record.name}", fields, "url", "secretKey")


@texts.of("/{organization}/settings/alerts/{channel}/delete")
async def delete_as_text(visit: Visit, channel: str) -> Text:
    """To delete a channel, as text."""
    one = await alert_channels.get(visit.ctx, channel)
    return one_call(f"Delete the channel {one.record.name}", "DELETE", path_to(_PATH + "/{}", one.record.id))
