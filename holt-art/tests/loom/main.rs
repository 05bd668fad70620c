//! Models of the protocols, over every interleaving and every value that the memory model
//! lets a load return: `RUSTFLAGS="--cfg loom" cargo test -p holt-art --release --test loom`.
//!
//! The files of the protocols are compiled into this test as they are; `crate::sync`
//! gives them the model checker's primitives. One file of models for each of them:
//!
//! | file | models of |
//! |---|---|
//! | `latches.rs` | `pool/latch.rs`: optimistic reads beside changes, and reuse of a slot |
//! | `gates.rs` | `pool/gate.rs` |
//! | `names.rs` | `pool/moves.rs` |
//! | `copies.rs` | `pool/pins.rs` and `pool/kept.rs`: images of pinned epochs |
//! | `listing.rs` | `pool/lists.rs` |
//! | `absences.rs` | `pool/absent.rs` |
//! | `saving.rs` | `frame/pieces.rs`: an image that is made piece by piece |
//! | `blobs.rs` | `pool/presence.rs` |
//! | `versions.rs` | `versions.rs`: numbers that threads have in store |
#![cfg(loom)]

#[path = "../../src/pool/absent.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod absent;
#[path = "../../src/pool/gate.rs"]
#[expect(dead_code, unreachable_pub, reason = "a part of the crate's interface is not modelled")]
mod gate;
#[path = "../../src/pool/kept.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod kept;
#[path = "../../src/pool/latch.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod latch;
#[path = "../../src/pool/lists.rs"]
mod lists;
#[path = "../../src/pool/moves.rs"]
#[expect(unreachable_pub, reason = "it is a part of the crate's interface")]
mod moves;
#[path = "../../src/versions.rs"]
mod numbers;
#[path = "../../src/frame/pieces.rs"]
mod pieces;
#[path = "../../src/pool/pins.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod pins;
#[path = "../../src/pool/presence.rs"]
#[expect(dead_code, reason = "a part of the crate's interface is not modelled")]
mod presence;
#[path = "../../src/sync.rs"]
mod sync;

mod absences;
mod blobs;
mod copies;
mod gates;
mod latches;
mod listing;
mod names;
mod saving;
mod support;
mod versions;
