"""Work that is a command: its task as written in a file, how it runs, and what shows that it is done."""
