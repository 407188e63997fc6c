"""`daybreak` with its snapshot commands, whether or not they are registered already."""

from daybreak.cli import main, snapshot

if all(group.name != "snapshot" for group in main.app.registered_groups):
    main.app.add_typer(snapshot.app, name="snapshot")
main.main()
