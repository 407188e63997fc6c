"""The tables in Postgres: made once, and compared with what they should be whenever a ledger is opened.

Whoever owns them can switch a trigger off, so that is looked at too: what the triggers refuse is then no proof, and the
ledger says so instead of going on.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from daybreak.errors import LedgerForeign, LedgerTampered
from daybreak.ledger.postgres.connection import Link

FORMAT = 1
"""Of the tables there, in the table `format`."""

_TABLES = """
SELECT concat_ws(' ', 'table', c.relname, 'is', c.relkind, c.relpersistence, c.relrowsecurity, c.relhasrules,
  EXISTS (SELECT 1 FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid))) AS line
FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind NOT IN ('i', 't', 'c')
UNION ALL
SELECT concat_ws(' ', 'column', c.relname || '.' || a.attname, 'is', format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull THEN 'not null' END, l.collname)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind NOT IN ('i', 't', 'c') AND a.attnum > 0
  AND NOT a.attisdropped
UNION ALL
SELECT concat_ws(' ', 'index', c.relname, 'is', i.indisunique, i.indisvalid,
  substr(pg_get_indexdef(i.indexrelid), strpos(pg_get_indexdef(i.indexrelid), ' USING ') + 1))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = %(schema)s::regnamespace
UNION ALL
SELECT concat_ws(' ', 'constraint', k.conname, 'is', k.contype, k.convalidated)
FROM pg_constraint k WHERE k.connamespace = %(schema)s::regnamespace AND k.contype IN ('c', 'p', 'u', 'x', 'f')
UNION ALL
SELECT concat_ws(' ', 'trigger', t.tgname, 'is on', c.relname, t.tgenabled, t.tgtype, p.proname,
  p.pronamespace = c.relnamespace, t.tgqual IS NULL, replace(encode(t.tgargs, 'escape'), '\\000', ''))
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT concat_ws(' ', 'function', p.proname, 'is', encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))
FROM pg_proc p WHERE p.pronamespace = %(schema)s::regnamespace
ORDER BY 1
"""
"""One line for everything that stands in the schema, the same in every version of Postgres."""

_EXPECTED = """
table blob is r p f f f
table event is r p f f f
table format is r p f f f
table head is r p f f f
table tile is r p f f f
column blob.data is bytea not null
column blob.digest is text not null C
column event.gen is bigint not null
column event.header is bytea not null
column event.idem is bytea
column event.leaf is bigint not null
column event.payload is bytea
column event.seq is bigint not null
column event.stream is text not null C
column format.one is integer not null
column format.version is integer not null
column head.note is text not null C
column head.one is integer not null
column head.size is bigint not null
column tile.hashes is bytea not null
column tile.level is integer not null
column tile.n is bigint not null
index blob_pkey is t t USING btree (digest)
index event_idem is t t USING btree (stream, gen, sha256(idem)) WHERE (idem IS NOT NULL)
index event_pkey is t t USING btree (leaf)
index event_position is t t USING btree (stream, seq)
index format_pkey is t t USING btree (one)
index head_pkey is t t USING btree (one)
index tile_pkey is t t USING btree (level, n)
constraint blob_digest_check is c t
constraint blob_pkey is p t
constraint event_leaf_check is c t
constraint event_pkey is p t
constraint format_one_check is c t
constraint format_pkey is p t
constraint head_one_check is c t
constraint head_pkey is p t
constraint head_size_check is c t
constraint tile_hashes_check is c t
constraint tile_level_check is c t
constraint tile_n_check is c t
constraint tile_pkey is p t
trigger event_follows is on event O 4 event_follows t t
trigger event_remains is on event O 42 refuse t t events are never deleted
trigger event_stays is on event O 18 refuse t t events are never changed
trigger head_grows is on head O 19 head_grows t t
trigger head_remains is on head O 42 refuse t t the head is never deleted
trigger tile_grows is on tile O 19 tile_grows t t
trigger tile_remains is on tile O 42 refuse t t tiles are never deleted
"""

_FUNCTIONS = ("refuse", "event_follows", "tile_grows", "head_grows")


def sql(schema: str) -> str:
    """What makes the tables in a schema of that (quoted) name."""
    return Path(__file__).with_name("schema.sql").read_text("utf-8").replace("{schema}", schema)


@cache
def _expected(schema: str) -> frozenset[str]:
    source = sql(schema)
    functions = set()
    for name in _FUNCTIONS:
        body = source.partition(f"FUNCTION {schema}.{name}()")[2].split("$$")[1]
        functions.add(f"function {name} is {sha256(body.encode()).hexdigest()}")
    return frozenset(line for line in _EXPECTED.split("\n") if line) | functions


def is_blank(link: Link) -> bool:
    """Is there no table of ours yet? The schema itself may be there."""
    row = link.execute("SELECT to_regclass(%s), to_regclass(%s)", [f"{link.schema}.event", f"{link.schema}.format"])
    return row.fetchone() == (None, None)


def create(link: Link) -> None:
    """Schema and tables; inside a transaction."""
    row = link.execute("SELECT to_regnamespace(%s) IS NULL", [link.schema]).fetchone()
    if row == (True,):
        link.execute(f"CREATE SCHEMA {link.schema}", prepare=False)  # refused to whoever may not, even if it is there
    link.execute(sql(link.schema), prepare=False)
    link.execute(f"INSERT INTO {link.schema}.format VALUES (1, %s)", [FORMAT])


def problems(link: Link) -> list[str]:
    """Where the schema differs from what it should be."""
    found = {str(line).rstrip() for (line,) in link.execute(_TABLES, {"schema": link.schema}).fetchall()}
    wanted = _expected(link.schema)
    by_name = {_name(line) for line in found}
    missing = [
        f"{_name(line)} is not as it should be" if _name(line) in by_name else f"{_name(line)} is missing"
        for line in sorted(wanted - found)
    ]
    known = {_name(line) for line in wanted}
    return missing + [f"{_name(line)} does not belong there" for line in sorted(found) if _name(line) not in known]


def _name(line: str) -> str:
    return line.partition(" is ")[0]


def check(link: Link) -> None:
    """Raises LedgerForeign where this is no ledger or a newer one, LedgerTampered where tables or triggers differ."""
    what = f"schema {link.address.schema} of {link.address}"
    row = link.execute("SELECT to_regclass(%s) IS NULL", [f"{link.schema}.format"]).fetchone()
    if row == (True,):
        raise LedgerForeign(
            f"{what} is not a ledger", hint="name another schema in the address: postgresql://…?schema=NAME."
        )
    version = link.execute(f"SELECT version FROM {link.schema}.format").fetchone()
    if version != (FORMAT,):
        raise LedgerForeign(
            f"{what} has format {'?' if version is None else version[0]}, this program knows {FORMAT}",
            hint="use a newer version of Daybreak.",
        )
    for problem in problems(link):
        raise LedgerTampered(
            f"{what}: {problem}", hint="somebody changed the tables' own rules: run `daybreak ledger verify`."
        )
