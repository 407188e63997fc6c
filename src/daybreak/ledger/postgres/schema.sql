-- The ledger's tables in Postgres. {schema} is the name of theirs.
--
-- The columns are those of the SQLite tables (../schema.sql), where they are described. Two differ: `idem` is the UTF-8
-- of the key, unique by its hash, since an index of Postgres takes no entries of more than 2,700 bytes; and no column is
-- sorted by a language. `blob` holds large bytes under their SHA-256 in hex, for homes that do not have them yet.

CREATE TABLE {schema}.format (
  one     integer PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL
);

CREATE TABLE {schema}.event (
  leaf    bigint PRIMARY KEY CHECK (leaf >= 0),
  stream  text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  gen     bigint NOT NULL,
  idem    bytea,
  header  bytea NOT NULL,
  payload bytea
);

CREATE UNIQUE INDEX event_position ON {schema}.event (stream, seq);

CREATE UNIQUE INDEX event_idem ON {schema}.event (stream, gen, sha256(idem)) WHERE idem IS NOT NULL;

CREATE TABLE {schema}.tile (
  level  integer NOT NULL CHECK (level BETWEEN 0 AND 7),
  n      bigint NOT NULL CHECK (n >= 0),
  hashes bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
  PRIMARY KEY (level, n)
);

ALTER TABLE {schema}.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE {schema}.head (
  one  integer PRIMARY KEY CHECK (one = 1),
  size bigint NOT NULL CHECK (size > 0),
  note text COLLATE "C" NOT NULL
);

CREATE TABLE {schema}.blob (
  digest text COLLATE "C" PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
  data   bytea NOT NULL
);

ALTER TABLE {schema}.blob ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0];
END
$$;

CREATE FUNCTION {schema}.event_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  first bigint;
  last bigint;
  number bigint;
BEGIN
  SELECT min(leaf), max(leaf), count(*) INTO first, last, number FROM added;
  IF number > 0 AND (
    last - first + 1 <> number
    OR first <> coalesce((SELECT max(leaf) FROM {schema}.event WHERE leaf < first), -1) + 1
  ) THEN
    RAISE EXCEPTION 'an event follows the last one';
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION {schema}.tile_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.level <> OLD.level OR NEW.n <> OLD.n
    OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes THEN
    RAISE EXCEPTION 'a tile only grows';
  END IF;
  RETURN NEW;
END
$$;

CREATE FUNCTION {schema}.head_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.one <> OLD.one OR NEW.size <= OLD.size THEN
    RAISE EXCEPTION 'the head only grows';
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER event_follows AFTER INSERT ON {schema}.event
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION {schema}.event_follows();

CREATE TRIGGER event_stays BEFORE UPDATE ON {schema}.event
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse('events are never changed');

CREATE TRIGGER event_remains BEFORE DELETE OR TRUNCATE ON {schema}.event
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse('events are never deleted');

CREATE TRIGGER tile_grows BEFORE UPDATE ON {schema}.tile
FOR EACH ROW EXECUTE FUNCTION {schema}.tile_grows();

CREATE TRIGGER tile_remains BEFORE DELETE OR TRUNCATE ON {schema}.tile
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse('tiles are never deleted');

CREATE TRIGGER head_grows BEFORE UPDATE ON {schema}.head
FOR EACH ROW EXECUTE FUNCTION {schema}.head_grows();

CREATE TRIGGER head_remains BEFORE DELETE OR TRUNCATE ON {schema}.head
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse('the head is never deleted');
