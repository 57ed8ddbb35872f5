"""Every limit of the protocol, each with its reason. SPEC.md lists the same values; a test compares the two."""

from typing import Final

_KEY: Final = 32  # bytes of a public key, a hash or an id
_TAG: Final = 16  # bytes that sealing adds

# --- encoding
MAX_INTEGER: Final = (1 << 63) - 1  # of every integer field without a bound of its own: what databases hold
MAX_NESTING: Final = 8  # levels of arrays in a message: bounds recursion
MAX_ITEMS: Final = 65_536  # elements of all arrays in a message: bounds the objects a message can become
# A parser reserves room for an array when it meets its header, and ours follows 1 024 nested ones before codec.py sees
# any; the next limit bounds that to 34 MiB for the worst hostile input.
MAX_ARRAY: Final = 4_352  # elements of one array: the longest one in any message or segment, and some room

# --- handshake
MAX_FOLDERS_PER_PORT: Final = 16  # pre-shared keys tried on a first message: bounds the work a stranger causes
HANDSHAKE_1: Final = _KEY + _TAG  # bytes of handshake message 1, exactly: a key and an empty payload
MIN_HANDSHAKE_2: Final = _KEY + (_KEY + _TAG) + _TAG  # bytes of handshake message 2: two keys and an empty payload
MAX_HANDSHAKE_2: Final = 1_024  # bytes of handshake message 2: room for a payload, little to hold for a stranger
MIN_HANDSHAKE_3: Final = (_KEY + _TAG) + _TAG  # bytes of handshake message 3: a key and an empty payload
MAX_HANDSHAKE_3: Final = 2_048  # bytes of handshake message 3: more room, its sender has proven to know the secret

# --- framing
MAX_TRANSPORT_RECORD: Final = 65_535  # bytes with tag: the limit of a Noise message
MAX_TRANSPORT_PLAINTEXT: Final = MAX_TRANSPORT_RECORD - _TAG  # bytes that a transport record carries
REKEY_INTERVAL: Final = 65_536  # transport records under one key: keeps far below the AES-GCM bounds
MAX_MESSAGE: Final = 1 << 20  # bytes of a message body, decompressed: bounds what a peer can make us hold
MAX_EXPANSION: Final = 64  # decompressed over compressed bytes: one read from a socket must not become gigabytes
MIN_COMPRESSED: Final = 512  # bytes of a body up to which compressing is not tried: nothing to gain

# --- names
MAX_NAME: Final = 255  # bytes of one path component: the limit of Linux file systems
MAX_PATH: Final = 4_095  # bytes of a path: PATH_MAX less the terminating NUL
MAX_TARGET: Final = 4_095  # bytes of a symbolic link's target: as of a path
MAX_KEY_BOUND: Final = MAX_PATH + 1  # bytes of an end of a key range: a key and one more byte
RESERVED_NAME: Final = b".syncd"  # top-level directory that holds staging and archive; never replicated

# --- records
RECORD_VERSION: Final = 1  # what every record begins with: leaves room for other formats
MAX_RECORD: Final = 65_536  # bytes of one record: a full context and full spares fit
MAX_ENTRY: Final = 131_072  # bytes of all records of one path, if there are several: fits in a page and in a message
MAX_CONTEXT: Final = 1_024  # actors in a context: far above the writers of a path; who only receives is no actor
MAX_SPARES: Final = 1_024  # contents that one record spares: as many as a state can have members
MAX_SIBLINGS: Final = 64  # members of a path's state at which a node publishes no further one: nobody sorts out more
MAX_STATE: Final = 1_024  # members of a path's state that are accepted: above what honest nodes can reach together
SUPERSEDED_KEPT: Final = 8  # superseded contents that a record remembers: so an old copy is known for what it is
MAX_STAMP: Final = 1 << 62  # ns of a stamp: the year 2116; above it there would be no room to count on
MAX_SIZE: Final = 1 << 62  # bytes of one file: far above every file system, and a sum of two fits in 64 bits
MAX_COUNTER: Final = 1 << 62  # events of one actor: more than can happen
MAX_BATCH: Final = 256  # records under one signature: a width fits in a byte, a proof in 9 KiB

# --- manifest
PAGE_TARGET: Final = 64  # mean entries of a page: a change costs little, a difference is found in few steps
MAX_PAGE_ENTRIES: Final = 512  # entries of a page: bounds what keys chosen by an attacker can do to its size
MAX_PAGE_WEIGHT: Final = 262_144  # bytes of keys and records in a page: bounds pages of large records
PAGE_OVERHEAD: Final = _KEY + 8  # bytes that a page's entry in the page above weighs besides its key: hash and count
MAX_LEVELS: Final = 8  # levels of pages: enough for 64^8 entries
MAX_WEIGHT: Final = MAX_ENTRY + MAX_PATH  # bytes that an entry of the manifest weighs: its records and its key
MAX_PULL_REQUESTS: Final = 32  # outstanding requests of one reconciliation: bounds what waits at the peer
MAX_WAITING: Final = 64 << 20  # bytes of requests that wait to be sent: a lying peer can have us ask for all we have
MAX_PAGES_PER_ANSWER: Final = 4_096  # pages in one answer: with keys of usual length well below MAX_MESSAGE
MAX_LEAVES_PER_ANSWER: Final = 4_096  # leaves in one answer: as of pages
# Differing neighbours are asked for together up to the next limit: beyond it, a second request under way at the same
# time is better than a continuation one round trip later.
ITEMS_PER_ASK: Final = MAX_LEAVES_PER_ANSWER // 2  # items expected in one answer: leaves room to be wrong by half
BYTES_PER_ANSWER: Final = 262_144  # bytes after which a listing goes on in another answer: control is not kept waiting
MAX_KEYS_PER_ASK: Final = 1_024  # keys named in one request: as many as records in a message
KEY_BYTES_PER_ASK: Final = 262_144  # bytes of the keys named in one request: leaves it well below MAX_MESSAGE
MAX_RECORDS_PER_MESSAGE: Final = 1_024  # records in one message: bounds the work that it causes

# --- content
SMALL_FILE: Final = 65_536  # bytes up to which a file is one block and may ride along with its record
MIN_BLOCK: Final = 16_384  # bytes: content-defined cut, smallest
AVERAGE_BLOCK: Final = 65_536  # bytes: where the cut becomes more likely
MAX_BLOCK: Final = 262_144  # bytes of a block, and of any object: small enough to interleave with urgent messages
MIN_BLOCK_ACCEPTED: Final = 4_096  # bytes of a block unless it ends a file or borders a hole: bounds work per byte
MAX_SEGMENT_ENTRIES: Final = 4_096  # entries of a segment: bounds what is hashed and held at once
MAX_SEGMENT: Final = MAX_SEGMENT_ENTRIES * (1 + (2 + _KEY) + 9) + 5  # bytes of a segment: every entry at its longest
MAX_SEGMENT_ITEMS: Final = MAX_SEGMENT_ENTRIES * 3 + 2  # elements of all arrays in a segment: rows of two, and itself
MAX_SEGMENT_DEPTH: Final = 2  # levels of nodes above the leaves of a block list: enough for 100 TiB
MAX_SEGMENTS: Final = 1 << 20  # segments of one file: bounds what a hostile list makes a reader remember
LEAF_LEAST: Final = 64  # entries of a leaf segment at least: every edit of a file sends one again, so leaves are small
LEAF_MEAN: Final = 256  # entries of a leaf segment beyond the least, in the mean
NODE_LEAST: Final = 256  # entries of a node segment at least: larger, so that two levels of nodes reach far enough
NODE_MEAN: Final = 1_024  # entries of a node segment beyond the least, in the mean
MAX_IDS_PER_GET: Final = 1_024  # objects named in one request: what a peer can make us look up at once
MAX_INLINE: Final = 524_288  # bytes of contents that ride along in one RECORDS message: leaves room for the records

# --- session
MAX_MINOR: Final = 65_535  # minor version: two bytes in a beacon
MAX_NAME_FIELD: Final = 255  # bytes of a device name, class name, feature, state or agent: one line
MAX_REASON: Final = 200  # characters of a goodbye: one line of a log
MAX_ADDRESS: Final = 300  # bytes of an advertised address: the longest host name and a port
MAX_COUNTERS: Final = 1_024  # actors in HELLO: as many as in a context
MAX_FEATURES: Final = 64  # names of features in HELLO: bounds what is kept of a peer
MAX_ANNOUNCED: Final = 64  # numbers among HELLO's limits: bounds what is kept of a peer
MAX_PROOF: Final = 64  # bytes of a tier proof: an Ed25519 signature, the longest of them
MAX_CERTIFICATE: Final = 512  # bytes of an encoded certificate: room for a later format
MAX_CLASSES: Final = 64  # priority classes in STATUS: bounds what is kept of a peer
MAX_PEERS_PER_MESSAGE: Final = 256  # addresses in PEERS: bounds the dials that a peer can cause
MAX_HAVE: Final = 1_024  # contents in HAVE: as many as in a request
MAX_CANCELLED: Final = 1_024  # requests withdrawn by one message: more than are ever under way

# --- beacons
BEACON_SIZE: Final = 144  # bytes of a beacon, exactly: all look alike, and nothing is parsed that is longer
BEACON_WINDOW: Final = 90_000  # ms that a beacon's time may differ from ours: what was recorded is soon worth nothing
BEACON_INSTANCES: Final = 1_024  # runs of nodes whose last beacon is remembered: far above the nodes of a folder
