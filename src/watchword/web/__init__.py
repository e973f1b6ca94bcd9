"""The web console: HTML pages over the same services that the API calls.

The server decides and the page shows: no rule lives in a template or in a script. An area of pages is a package or a
module of handlers (`visit -> Page | Redirect | Download`) with its templates beside the others in `templates/`:

    pages.py        what a handler takes and answers, and the table of pages
    console.py      answers one request: session, cross-site check, organization, rendering, refusals, headers
    session.py      the cookies of the console
    forms.py        what a form sent, as a struct of a service; durations and times as people type them
    method_forms.py the forms of auth methods, made from their schemas
    rendering.py    the templates: filters, icons
    assets.py       style sheet, scripts and icons, under names that hold their hash
    deep_links.py   addresses of the reference product's pages, which lead on to ours
    frame.py        what stands around a page: navigation and the person's organizations

Each page works without JavaScript; htmx, where it runs, exchanges the body instead of loading the page.
"""
