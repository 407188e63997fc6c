"""The dashboard and the REST API over one open home: `daybreak serve`.

`app.make(desk)` puts it together; `desk.Desk` is what all handlers have in common; `who` says who asks and what they
may; `live` tells browsers what changed; `problems` turns errors into answers; `api` is the REST API; `pages` the
dashboard.
"""
