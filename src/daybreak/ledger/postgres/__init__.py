"""The ledger on Postgres: what is true stands there, and every home keeps a copy of it in SQLite, its *mirror*.

    address.py     what is written down of a Postgres: its URL, and how it is shown without its password
    connection.py  one connection, with limits on everything that could hang
    schema.py      the tables there, and what tells that they are as they were made
    store.py       transactions: the lock, the head, rows there and back, and whether a commit went in
    log.py         `daybreak.ledger.log.Log` where each transaction is one on Postgres, followed by the mirror's
    blobs.py       large bytes, here and there
    listening.py   hears of commits of other homes

Nothing here is imported by a ledger that has no Postgres, so the driver (extra `postgres`) stays optional.
"""
