"""Where work runs and files lie: processes, Dask, shards of results, local and remote paths."""

from speech_emotion.runtime.dask import (
    ClusterSettings,
    DaskEngine,
    connect,
)
from speech_emotion.runtime.files import (
    FileStore,
)
from speech_emotion.runtime.holding import (
    StoreHeld,
    holding,
)
from speech_emotion.runtime.identity import (
    has_ended,
    is_here,
    process_name,
)
from speech_emotion.runtime.joins import (
    JoinError,
    check_same_keys,
    join,
)
from speech_emotion.runtime.names import (
    safe_name,
)
from speech_emotion.runtime.parquet import (
    CHECKED,
    CHECKSUMS,
    DamagedTable,
    naming_damage,
    open_table,
    parquet_file,
    read_table,
)
from speech_emotion.runtime.processes import (
    Calls,
    WorkerLost,
    as_completed,
    fan_out,
    on_one_thread,
    running_on,
    workers,
)
from speech_emotion.runtime.redaction import (
    RedactingFormatter,
    hide_secrets,
    redact,
    redact_handlers,
)
from speech_emotion.runtime.services import (
    ServiceUnreachable,
    check_service,
)
from speech_emotion.runtime.shards import (
    KEY,
    RECENT,
    UNREAD,
    DamagedShard,
    ShardStore,
    digest,
    list_stored,
    locate,
    prefix_of,
)
from speech_emotion.runtime.storage import (
    REPEATED_LINK,
    FetchError,
    FileState,
    ListedFile,
    check_store,
    download,
    exists,
    file_state,
    is_url,
    list_files,
    open_binary,
    to_path,
    upload,
)
from speech_emotion.runtime.writing import (
    PARTIAL,
    replacing,
    replacing_folder,
    write_bytes,
)

__all__ = [
    "CHECKED",
    "CHECKSUMS",
    "KEY",
    "PARTIAL",
    "RECENT",
    "REPEATED_LINK",
    "UNREAD",
    "Calls",
    "ClusterSettings",
    "DamagedShard",
    "DamagedTable",
    "DaskEngine",
    "FetchError",
    "FileState",
    "FileStore",
    "JoinError",
    "ListedFile",
    "RedactingFormatter",
    "ServiceUnreachable",
    "ShardStore",
    "StoreHeld",
    "WorkerLost",
    "as_completed",
    "check_same_keys",
    "check_service",
    "check_store",
    "connect",
    "digest",
    "download",
    "exists",
    "fan_out",
    "file_state",
    "has_ended",
    "hide_secrets",
    "holding",
    "is_here",
    "is_url",
    "join",
    "list_files",
    "list_stored",
    "locate",
    "naming_damage",
    "on_one_thread",
    "open_binary",
    "open_table",
    "parquet_file",
    "prefix_of",
    "process_name",
    "read_table",
    "redact",
    "redact_handlers",
    "replacing",
    "replacing_folder",
    "running_on",
    "safe_name",
    "to_path",
    "upload",
    "workers",
    "write_bytes",
]
