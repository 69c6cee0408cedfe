"""Durable storage: one contract (`contract`), the embedded LMDB engine (`lmdb_engine`), and its command line.

This package file imports the contract only: the writer process and the command line need no kernel.
"""

from runtime.store.contract import (
    ABSENT,
    ANY,
    BadBatch,
    CommitFailed,
    Committed,
    Conflict,
    CorruptRecord,
    Del,
    Fenced,
    MigrationFailed,
    NewerSchema,
    Op,
    Put,
    Rec,
    ShardCountMismatch,
    ShardStore,
    Store,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    Unavailable,
    Unknown,
)

__all__ = [
    "ABSENT", "ANY", "BadBatch", "CommitFailed", "Committed", "Conflict", "CorruptRecord", "Del", "Fenced",
    "MigrationFailed", "NewerSchema", "Op", "Put", "Rec", "ShardCountMismatch", "ShardStore", "Store", "StoreCorrupt",
    "StoreError", "StoreFull", "StoreLocked", "Unavailable", "Unknown",
]  # fmt: skip
