"""Closed ranges of events in compressed files beside the ledger; what is there need not lie in the database.

layout      the bytes of an archive file
file        one file: reading one event of it, or checking all of it
writing     making one, whole or not at all
shelf       which file has which events, as the database says, and where it lies
archiving   `archive`: files for what is closed
pruning     `prune`, `refill`: rows are blanked, and filled again
checking    what verification makes of rows that were pruned

What of it needs zstandard is imported by whoever meets an archived event.
"""
