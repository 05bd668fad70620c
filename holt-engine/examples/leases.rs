//! A table of leases: who may do what until when, safe against late and dead holders.
//!
//! `cargo run -p holt-engine --example leases`
//!
//! A version is the fencing token: it is greater than that of every earlier holder, also of those
//! before a restart, so whoever is guarded by the lease can refuse a holder who is too late.

use holt_engine::{Db, Durability, EntryRef, Error, Options, Tree, Version};

struct Leases {
    table: Tree,
}

/// A lease in hand.
#[derive(Clone, Debug)]
struct Lease {
    name: String,
    owner: String,
    token: Version,
}

fn encode(owner: &str, until: u64) -> Vec<u8> {
    [&until.to_le_bytes(), owner.as_bytes()].concat()
}

fn until(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Leases {
    /// Takes the lease if nobody has it, or its holder's time is over.
    fn take(&self, name: &str, owner: &str, now: u64, time: u64) -> Result<Option<Lease>, Error> {
        let seen = self.table.get_with_version(name.as_bytes())?;
        if seen.as_ref().is_some_and(|(value, _)| until(value) > now) {
            return Ok(None);
        }
        let expected = seen.map(|(_, version)| version);
        let value = encode(owner, now + time);
        // Of all who have seen the same, one gets it.
        let put = self.table.compare_and_put(name.as_bytes(), expected, &value)?;
        let lease = |token| Lease { name: name.to_owned(), owner: owner.to_owned(), token };
        Ok(put.done().map(lease))
    }

    /// Prolongs the lease; false if somebody else has it by now.
    fn renew(&self, lease: &mut Lease, now: u64, time: u64) -> Result<bool, Error> {
        let value = encode(&lease.owner, now + time);
        let put = self.table.compare_and_put(lease.name.as_bytes(), Some(lease.token), &value)?;
        if let Some(token) = put.done() {
            lease.token = token;
        }
        Ok(put.is_done())
    }

    /// Gives the lease back; false if somebody else has it by now.
    fn give_back(&self, lease: Lease) -> Result<bool, Error> {
        Ok(self.table.compare_and_delete(lease.name.as_bytes(), lease.token)?.is_done())
    }

    /// Removes what is over; says how many that were.
    fn sweep(&self, now: u64) -> Result<usize, Error> {
        let mut swept = 0;
        for entry in self.table.scan() {
            let entry = entry?;
            let EntryRef::Record { key, value, version } = entry.as_ref() else { continue };
            // One that was renewed meanwhile has another version, and stays.
            if until(value) <= now && self.table.compare_and_delete(key, version)?.is_done() {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let directory = std::env::temp_dir().join(format!("holt-leases-{}", std::process::id()));
    // What is granted has to outlive a loss of power.
    let open = || -> Result<(Db, Leases), Error> {
        let db = Options::new().durability(Durability::Sync).open(&directory)?;
        let table = db.tree("leases")?;
        Ok((db, Leases { table }))
    };
    let (db, leases) = open()?;
    let mut alice = leases.take("compactor", "alice", 100, 10)?.expect("nobody has it");
    assert!(leases.take("compactor", "bob", 105, 10)?.is_none());
    let first = alice.token;
    assert!(leases.renew(&mut alice, 108, 10)?);
    assert!(alice.token > first);
    drop(leases);
    db.close()?;

    // After a restart everything is as it was, and tokens go on.
    let (db, leases) = open()?;
    assert!(leases.take("compactor", "bob", 117, 10)?.is_none());
    let bob = leases.take("compactor", "bob", 118, 10)?.expect("alice's time is over");
    assert!(bob.token > alice.token);
    assert!(!leases.renew(&mut alice, 119, 10)?, "alice is too late");
    println!("{} has {:?} with the token {}", bob.owner, bob.name, bob.token.get());
    leases.take("vacuum", "carol", 119, 1)?.expect("nobody has it");
    assert_eq!(leases.sweep(125)?, 1);
    assert!(leases.give_back(bob)?);
    assert!(!leases.give_back(alice)?);
    assert!(leases.table.is_empty()?);
    drop(leases);
    db.close()?;
    std::fs::remove_dir_all(&directory)
        .map_err(|source| Error::Io { doing: "remove the directory", source })
}
