//! Log records: what a mutation looks like in the log.
//!
//! * [`Op`] is one mutation of keys, [`Batch`] several that count as one, [`Record`] anything that the log holds.
//! * [`RecordHeader`] is the 16 bytes before every body; its checksum covers everything else of the record.
//! * The log holds effects, never conditions: replaying a record needs no decision.
//! * Every record, and every operation in a batch, is a multiple of [`GRANULE`] bytes, so the
//!   address of a record plus the index of an operation, in granules, names each operation uniquely.

mod batch;
mod checksum;
mod header;
mod layout;
mod log_record;
mod op;

pub use batch::{Batch, BatchBuf, BatchOps};
pub use checksum::Seed;
pub use header::{HEADER_LEN, Kind, RecordHeader};
pub(crate) use header::{RecordSum, SUM_START};
pub use log_record::Record;
pub use op::Op;

/// Unit of addresses, record lengths and versions, in bytes.
pub const GRANULE: usize = 8;

/// Longest key, prefix or tree name, in bytes.
pub const MAX_KEY: usize = 65_535;

/// Longest value, in bytes.
pub const MAX_VALUE: usize = 16 << 20;

/// Longest record with its header and padding, in bytes. It bounds a batch, and the memory of a reader.
pub const MAX_RECORD: usize = 32 << 20;

const _: () = assert!(MAX_RECORD.is_multiple_of(GRANULE));
const _: () = assert!(MAX_RECORD / GRANULE < 1 << 24, "the length field of a header has 24 bits");
const _: () = assert!(MAX_VALUE + MAX_KEY + 64 < MAX_RECORD, "the largest put fits in a record");
