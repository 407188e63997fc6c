-- The ledger's own tables. Views add theirs, named view_<name>.
--
-- event   one row per leaf; `header` holds every field, and the columns beside it are copies for the indexes
-- tile    C2SP tlog-tiles of height 8: up to 256 hashes of 32 bytes. Level 0 holds full tiles only; the partial
--         one on the right is the event rows behind the last full tile. Higher levels hold their partial tile too
-- head    the signed checkpoint over all leaves, written in the same transaction as they are
-- view    which views are kept here; `behind` is the first leaf that a process without the view appended

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

CREATE TRIGGER event_follows BEFORE INSERT ON event
WHEN NEW.leaf IS NOT (SELECT ifnull(max(leaf), -1) + 1 FROM event)
BEGIN SELECT RAISE(ABORT, 'an event follows the last one'); END;

CREATE TRIGGER event_stays BEFORE UPDATE ON event
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
