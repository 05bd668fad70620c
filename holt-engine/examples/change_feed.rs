//! A cache in front of a database that somebody else writes: invalidated by the change feed.
//!
//! `cargo run -p holt-engine --example change_feed`
//!
//! The cache never asks the database whether what it holds is still so. A thread follows the changes and takes out
//! what they touch: keys, and whole directories when one is moved or removed. It keeps the version that it has come to, so
//! a reader can wait until the cache knows of a write, and the next start goes on there.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use holt_engine::{Change, Effect, Error, Feed, Moved, Options, Tree, Version};

/// What is cached, and the version up to which it has been invalidated.
struct State {
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    position: Version,
    /// Counts what was taken out while a value was being read.
    invalidations: u64,
    ended: bool,
}

struct Cache {
    state: Mutex<State>,
    moved_on: Condvar,
}

impl Cache {
    fn new(position: Version) -> Arc<Cache> {
        let state = State { values: BTreeMap::new(), position, invalidations: 0, ended: false };
        Arc::new(Cache { state: Mutex::new(state), moved_on: Condvar::new() })
    }

    /// The value of `key`, from the cache if it is there.
    fn get(&self, tree: &Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let before = {
            let state = self.state.lock().expect("no thread panics with it");
            if let Some(value) = state.values.get(key) {
                return Ok(value.clone());
            }
            state.invalidations
        };
        let value = tree.get(key)?;
        let mut state = self.state.lock().expect("no thread panics with it");
        // What was invalidated since may have been this key, and the value an old one.
        if state.invalidations == before {
            state.values.insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }

    /// Takes out what a change touches.
    fn invalidate(&self, change: &Change, position: Version) {
        let mut state = self.state.lock().expect("no thread panics with it");
        for operation in change.operations() {
            match &operation.effect {
                Effect::Put { key, .. } | Effect::Delete { key } => drop(state.values.remove(key)),
                Effect::Rename { from, to } => {
                    state.values.remove(from);
                    state.values.remove(to);
                }
                Effect::RenamePrefix { from, to, .. } => {
                    state.values.retain(|key, _| !key.starts_with(from) && !key.starts_with(to));
                }
                Effect::DeletePrefix { prefix } => {
                    state.values.retain(|key, _| !key.starts_with(prefix));
                }
                // Trees come and go; and what a later version may tell of is not known here.
                _ => state.values.clear(),
            }
        }
        state.invalidations += 1;
        state.position = position;
        self.moved_on.notify_all();
    }

    /// Waits until the cache knows of the write that has this version.
    fn wait_for(&self, version: Version) {
        let state = self.state.lock().expect("no thread panics with it");
        let late = |state: &mut State| state.position < version && !state.ended;
        drop(self.moved_on.wait_while(state, late).expect("no thread panics with it"));
    }

    /// Follows the database until it is closed.
    fn follow(&self, mut feed: Feed) -> Result<(), Error> {
        let outcome = loop {
            match feed.next_within(Duration::from_secs(3600)) {
                Ok(Some(change)) => self.invalidate(&change, feed.position()?),
                Ok(None) => {}
                Err(Error::Closed) => break Ok(()),
                // `ChangesGone` too: then everything that is cached may be old.
                Err(error) => break Err(error),
            }
        };
        let mut state = self.state.lock().expect("no thread panics with it");
        state.values.clear();
        state.ended = true;
        self.moved_on.notify_all();
        outcome
    }
}

fn main() -> Result<(), Error> {
    let directory = std::env::temp_dir().join(format!("holt-change-feed-{}", std::process::id()));
    // Enough log for a follower that is away for a while.
    let db = Options::new().keep_log_bytes(64 << 20).open(&directory)?;
    let files = db.default_tree();
    let cache = Cache::new(db.last_version()?);
    let feed = db.changes(Some(db.last_version()?)).tree(&files).open()?;
    let follower = thread::spawn({
        let cache = Arc::clone(&cache);
        move || cache.follow(feed)
    });

    let put = files.put(b"home/alice/notes", b"buy milk")?;
    cache.wait_for(put);
    assert_eq!(cache.get(&files, b"home/alice/notes")?.as_deref(), Some(&b"buy milk"[..]));
    // One operation on a directory takes out all that is below it.
    let moved = files.rename_prefix(b"home/alice/", b"home/bob/")?;
    let Moved::Done(version) = moved else { panic!("nobody is in the way of bob") };
    cache.wait_for(version);
    assert_eq!(cache.get(&files, b"home/alice/notes")?, None);
    assert_eq!(cache.get(&files, b"home/bob/notes")?.as_deref(), Some(&b"buy milk"[..]));
    let applied = db.atomic(|batch| {
        batch.put(&files, b"home/bob/notes", b"buy bread")?;
        batch.put(&files, b"home/bob/done", b"milk")
    })?;
    cache.wait_for(applied.version(1).expect("two operations"));
    assert_eq!(cache.get(&files, b"home/bob/notes")?.as_deref(), Some(&b"buy bread"[..]));
    println!("the cache has followed up to version {}", db.last_version()?.get());

    drop(files);
    db.close()?;
    follower.join().expect("the follower does not panic")?;
    std::fs::remove_dir_all(&directory)
        .map_err(|source| Error::Io { doing: "remove the directory", source })
}
