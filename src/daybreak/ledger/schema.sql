-- The ledger's own tables. Views add theirs, named view_<name>.
--
-- event   one row per leaf; `header` holds every field, and the columns beside it are copies for the indexes
-- tile    C2SP tlog-tiles of height 8: up to 256 hashes of 32 bytes. Level 0 holds full tiles only; the partial
--         one on the right is the event rows behind the last full tile. Higher levels hold their partial tile too
-- head    the signed checkpoint over all leaves, written in the same transaction as they are
-- view    which views are kept here; `behind` is the first leaf that a process without the view appended
-- archive which file has which events, without gaps from the first one on. Only inside such a range may a row be
--         blanked (header x'', payload NULL) and filled again, but none of the keys, and no stream's last one; its
--         hash stays in the tile. `pruned`: that was done, to the end

CREATE TABLE event (
  leaf    INTEGER PRIMARY KEY,
  stream  TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  gen     INTEGER NOT NULL,
  idem    TEXT,
  header  BLOB NOT NULL,
  payload BLOB
) STRICT;

CREATE UNIQUE INDEX event_position ON event (stream, seq);

CREATE UNIQUE INDEX event_idem ON event (stream, gen, idem) WHERE idem IS NOT NULL;

CREATE TABLE tile (
  level  INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
  n      INTEGER NOT NULL CHECK (n >= 0),
  hashes BLOB NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
  UNIQUE (level, n)
) STRICT;

CREATE TABLE head (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL CHECK (size > 0),
  note TEXT NOT NULL
) STRICT;

CREATE TABLE view (
  name    TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  tables  TEXT NOT NULL,
  behind  INTEGER
) STRICT;

CREATE TABLE archive (
  start  INTEGER PRIMARY KEY CHECK (start >= 0 AND start % 256 = 0),
  "end"  INTEGER NOT NULL CHECK ("end" > start AND "end" % 256 = 0),
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
  bytes  INTEGER NOT NULL CHECK (bytes > 0),
  folder TEXT NOT NULL,
  name   TEXT NOT NULL,
  pruned INTEGER NOT NULL CHECK (pruned IN (0, 1))
) STRICT;

CREATE TRIGGER event_follows BEFORE INSERT ON event
WHEN NEW.leaf IS NOT (SELECT ifnull(max(leaf), -1) + 1 FROM event)
BEGIN SELECT RAISE(ABORT, 'an event follows the last one'); END;

CREATE TRIGGER event_stays BEFORE UPDATE ON event
WHEN NEW.leaf IS NOT OLD.leaf OR NEW.stream IS NOT OLD.stream OR NEW.seq IS NOT OLD.seq
  OR NEW.gen IS NOT OLD.gen OR NEW.idem IS NOT OLD.idem
  OR (length(OLD.header) > 0) IS (length(NEW.header) > 0)
  OR (length(NEW.header) = 0 AND (NEW.payload IS NOT NULL OR OLD.stream = 'keys' OR OLD.stream LIKE 'keys:%'
    OR OLD.seq = (SELECT max(seq) FROM event WHERE stream = OLD.stream)))
  OR NOT EXISTS (SELECT 1 FROM archive WHERE start <= OLD.leaf AND "end" > OLD.leaf)
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER event_remains BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TRIGGER tile_grows BEFORE UPDATE ON tile
WHEN NEW.level IS NOT OLD.level OR NEW.n IS NOT OLD.n
  OR substr(NEW.hashes, 1, length(OLD.hashes)) IS NOT OLD.hashes
BEGIN SELECT RAISE(ABORT, 'a tile only grows'); END;

CREATE TRIGGER tile_remains BEFORE DELETE ON tile
BEGIN SELECT RAISE(ABORT, 'tiles are never deleted'); END;

CREATE TRIGGER head_grows BEFORE UPDATE ON head WHEN NEW.size <= OLD.size
BEGIN SELECT RAISE(ABORT, 'the head only grows'); END;

CREATE TRIGGER head_remains BEFORE DELETE ON head
BEGIN SELECT RAISE(ABORT, 'the head is never deleted'); END;

CREATE TRIGGER archive_follows BEFORE INSERT ON archive
WHEN NEW.start IS NOT (SELECT ifnull(max("end"), 0) FROM archive)
  OR NEW."end" > (SELECT ifnull(max(leaf), -1) + 1 FROM event)
BEGIN SELECT RAISE(ABORT, 'archives follow each other'); END;

CREATE TRIGGER archive_stays BEFORE UPDATE ON archive
WHEN NEW.start IS NOT OLD.start OR NEW."end" IS NOT OLD."end"
BEGIN SELECT RAISE(ABORT, 'an archive keeps its range'); END;

CREATE TRIGGER archive_remains BEFORE DELETE ON archive
BEGIN SELECT RAISE(ABORT, 'archives are never forgotten'); END;
