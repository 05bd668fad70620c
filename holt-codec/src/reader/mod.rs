//! Reading a log: which of its bytes are records, and where and how it ends.
//!
//! A log that was not closed in order ends in whatever the accident left. There are three verdicts:
//!
//! * **clean end**: the last record says that the log was closed there;
//! * **torn tail**: from some address on there is no valid record, and nothing says that there ever was one on
//!   stable storage; the log ends at that address;
//! * **damage**: something proves that what is missing was durable. That is an error, naming segment and offset.
//!
//! The proof is one of these: a later valid record carries a synced mark above the gap; the next run of segments
//! declares an end above it; the run is full to its last byte, which never happens without another segment.
//!
//! * Memory is bounded by [`MAX_RECORD`](crate::MAX_RECORD) and a fixed window, whatever the log's size. A length
//!   sizes nothing before the checksum over it is verified.
//! * Time is bounded by a small multiple of the log's size, whatever its bytes.

mod chain;
mod following;
mod log_reader;
mod source;
mod window;
mod witness;

pub use log_reader::{Entry, LogEnd, LogReader, ReadError};
pub use source::{LogSource, SegmentBytes, SegmentFiles};
