-- One folder's index. PRAGMA user_version counts the versions of this file; the program refuses a higher one.
-- Times are ns since 1970. "content" is a record's 32-byte content token. Everything about one path is in one row, and
-- what is looked up seldom has no index: a first sync writes every row once, and each index would be written with it.

-- What is known, seen and needed at a path. A row that says nothing of the three is removed.
CREATE TABLE paths (
    key BLOB PRIMARY KEY,   -- the path with "/" as 0x00: a directory and all below it are one run of keys
    -- known: the manifest. NULL in all four if the disk holds something that was not published yet
    state BLOB,             -- its records by hash, each u32 length, 16-byte proof id (zeros: none), canonical bytes
    digest BLOB,            -- 32 bytes: names the state; the manifest's leaf
    weight INTEGER,         -- bytes of the key and the records
    live INTEGER,           -- what the winner says: 0 deleted, 1 found by a fresh index, 2 there
    -- seen: what the disk held last. 32 bytes content, u8 kind (0 file, 1 directory, 2 link), u16 mode, u64 size,
    -- i64 mtime, u64 inode, i64 ctime, link target. One column, because eight are written and read much slower
    disk BLOB,
    -- needed: the disk does not hold yet what the manifest shows. NULL in all three if it does
    need_rank INTEGER,      -- number of the priority class, 0 first
    need_order INTEGER,     -- place within the class, smallest first
    need_size INTEGER,      -- bytes to be fetched at most
    want BLOB               -- content of several blocks that is needed here: its block list must be kept
) WITHOUT ROWID;

-- Is anything live below a directory, whatever number of deleted paths is there too?
CREATE INDEX paths_live ON paths (live, key) WHERE live IS NOT NULL;
-- What comes next?
CREATE INDEX paths_needed ON paths (need_rank, need_order, key) WHERE need_rank IS NOT NULL;
-- Which files hold a content? Its first bytes are enough; those of directories are zeros. Missing while a first sync goes
-- on: see contents.py.
CREATE INDEX paths_seen ON paths (substr(disk, 1, 8)) WHERE substr(disk, 1, 8) <> x'0000000000000000';
-- Is a block list still wanted?
CREATE INDEX paths_wanting ON paths (want) WHERE want IS NOT NULL;

-- Sums over paths, kept in step. what: the rank of a need; -1 live files; -2 rows in no manifest.
-- bytes is decimal: sizes that a peer makes up may add to more than 63 bits.
CREATE TABLE totals (what INTEGER PRIMARY KEY, paths INTEGER NOT NULL, bytes TEXT NOT NULL);

-- The Merkle pages of the manifest, in the same transaction as its entries.
CREATE TABLE pages (
    level INTEGER,
    first BLOB,             -- where it starts; it ends where the next one of its level starts
    hash BLOB NOT NULL,
    count INTEGER NOT NULL, -- entries of the manifest below
    PRIMARY KEY (level, first)
) WITHOUT ROWID;

-- Signature proofs, and how many records refer to each. Apart, because the count changes often and a proof is long.
CREATE TABLE proofs (id BLOB PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE proof_uses (id BLOB PRIMARY KEY, uses INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX proof_uses_none ON proof_uses (id) WHERE uses = 0;

-- Contents of several blocks whose block list is here. searchable: 1 if `blocks` has its blocks.
CREATE TABLE contents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    searchable INTEGER NOT NULL
);
CREATE INDEX contents_unsearchable ON contents (number) WHERE searchable = 0;

-- The segments that block lists consist of; contents that resemble each other share some.
CREATE TABLE segments (id BLOB PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE content_segments (content INTEGER, segment BLOB, PRIMARY KEY (content, segment)) WITHOUT ROWID;
CREATE INDEX content_segments_by_segment ON content_segments (segment);

-- Where a block is. Only half of its id is kept: who reads a block hashes it anyway.
CREATE TABLE blocks (
    prefix INTEGER,         -- the first 8 bytes of the block id, as i64 big endian
    content INTEGER,        -- contents.number
    offset INTEGER,
    length INTEGER NOT NULL,
    PRIMARY KEY (prefix, content, offset)
) WITHOUT ROWID;

-- What was displaced from the tree and lies in the archive.
CREATE TABLE archive (
    name BLOB PRIMARY KEY,  -- of the file in the archive
    path BLOB NOT NULL,     -- where it was; empty if that is not known
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    content BLOB NOT NULL,  -- empty if it is not known
    reason TEXT NOT NULL,
    archived_at INTEGER NOT NULL,
    kept_from INTEGER NOT NULL  -- since when its time runs: archived_at, or later if something needed it until then
);
CREATE INDEX archive_by_age ON archive (kept_from, name);
CREATE INDEX archive_by_content ON archive (content);

-- Paths whose change waits for the operator's word, because too much changed at once.
CREATE TABLE held (
    key BLOB PRIMARY KEY,
    why INTEGER NOT NULL    -- 0 deleted, 1 a directory that is none any more, 2 back to an earlier content, 3 rewritten
) WITHOUT ROWID;

-- Live records that are not shown: conflicts, and what a directory hides. Read and kept apart from rows: there are few.
CREATE TABLE losing (
    key BLOB,
    content BLOB,
    missing INTEGER,        -- 1 if the archive lacks the bytes, 0 if it has them; NULL: there are none to keep
    PRIMARY KEY (key, content)
) WITHOUT ROWID;
CREATE INDEX losing_by_content ON losing (content);
CREATE INDEX losing_missing ON losing (key, content) WHERE missing = 1;

-- Copies of losing versions beside the winners in the tree, for who asks for them.
CREATE TABLE copies (
    key BLOB,               -- where it lost, as in `losing`
    content BLOB,
    path BLOB NOT NULL,     -- of the copy
    state INTEGER NOT NULL, -- 0 about to be placed, 1 there, 2 there is none and none is made again
    PRIMARY KEY (key, content)
) WITHOUT ROWID;

-- Small named values. Names that begin with "index." belong to the index itself.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
