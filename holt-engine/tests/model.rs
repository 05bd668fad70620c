//! The engine against a `BTreeMap`, with hostile keys, checkpoints, reopening, kills and power cuts
//! in the middle.

mod common;

use std::sync::Arc;

use common::{Model, contents, listing, names};
use holt_engine::disk::{CrashPattern, SimDisk};
use holt_engine::{Db, Durability, Options, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// One thing to do to a database.
#[derive(Clone, Debug)]
enum Action {
    Put(Vec<u8>, Vec<u8>, Durability),
    Delete(Vec<u8>, Durability),
    Checkpoint,
    /// Close and open.
    Reopen,
    /// End without closing; what was handed to the system is there.
    Kill,
    /// End without closing; unsynced writes suffer.
    PowerCut(CrashPattern, u64),
    /// List by all rules, both ways.
    List {
        prefix: Vec<u8>,
        delimiter: Option<Vec<u8>>,
        start_after: Option<Vec<u8>>,
        limit: u64,
    },
    /// Read a range, both ways.
    Range(Vec<u8>, Vec<u8>),
}

/// Keys that are prefixes of each other, empty, and full of the bytes that end things elsewhere.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = || select(&[0x00, b'/', b'a', b'b', 0xFF][..]);
    let long =
        (select(&[255, 256, 4095, 4096, 4097, 65_534, 65_535][..]), byte(), vec(byte(), 0..3));
    prop_oneof![
        12 => vec(byte(), 0..6),
        2 => vec(any::<u8>(), 0..40),
        1 => long.prop_map(|(length, fill, end)| {
            let mut key = vec![fill; length - end.len()];
            key.extend(end);
            key
        }),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => (select(&[0, 1, 4095, 4096, 4097, 70_000][..]), any::<u8>())
            .prop_map(|(length, byte)| vec![byte; length]),
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    select(&[Durability::Buffered, Durability::Os, Durability::Sync][..])
}

fn action() -> impl Strategy<Value = Action> {
    const DELIMITERS: &[&[u8]] = &[b"/", b"a", b"//", b"\0", b"\xff\xff"];
    let delimiter = proptest::option::of(select(DELIMITERS).prop_map(<[u8]>::to_vec));
    prop_oneof![
        30 => (key(), value(), durability()).prop_map(|(k, v, d)| Action::Put(k, v, d)),
        12 => (key(), durability()).prop_map(|(k, d)| Action::Delete(k, d)),
        2 => Just(Action::Checkpoint),
        1 => Just(Action::Reopen),
        1 => Just(Action::Kill),
        1 => (select(&CrashPattern::ALL[..]), any::<u64>()).prop_map(|(p, s)| Action::PowerCut(p, s)),
        4 => (key(), delimiter, proptest::option::of(key()), 0..40_u64).prop_map(
            |(prefix, delimiter, start_after, limit)| {
                Action::List { prefix, delimiter, start_after, limit }
            }
        ),
        3 => (key(), key()).prop_map(|(a, b)| Action::Range(a, b)),
    ]
}

/// A database and what it must hold.
struct Pair {
    disk: SimDisk,
    db: Option<Db<SimDisk>>,
    model: Model,
    /// The states that a power cut may leave, the oldest first: each since the last that is on
    /// stable storage. The last one is the model.
    since_sync: Vec<Model>,
    /// As above for a kill.
    since_os: Vec<Model>,
    last_version: Option<Version>,
}

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(64 << 10);
    options
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let disk = SimDisk::new(seed);
        let db = options().open_on(Arc::new(disk.clone())).unwrap();
        let start = vec![Model::new()];
        Pair {
            disk,
            db: Some(db),
            model: Model::new(),
            since_sync: start.clone(),
            since_os: start,
            last_version: None,
        }
    }

    fn db(&self) -> &Db<SimDisk> {
        self.db.as_ref().expect("open between actions")
    }

    /// The model has changed by a write that was acknowledged so.
    fn wrote(&mut self, durability: Durability) {
        self.since_os.push(self.model.clone());
        self.since_sync.push(self.model.clone());
        if durability >= Durability::Os {
            self.since_os = vec![self.model.clone()];
        }
        if durability >= Durability::Sync {
            self.since_sync = vec![self.model.clone()];
        }
    }

    /// Goes on with another disk, on which one of these states must be found.
    fn reopen(&mut self, disk: SimDisk, allowed: Vec<Model>) -> Result<(), TestCaseError> {
        self.db = None;
        self.disk = disk;
        let db = options().open_on(Arc::new(self.disk.clone())).unwrap();
        let found = contents(&db.default_tree()).unwrap();
        prop_assert!(allowed.contains(&found), "a state that never was, or was too long ago");
        prop_assert_eq!(db.default_tree().len().unwrap(), found.len() as u64);
        let report = db.verify().unwrap();
        prop_assert!(report.faults.is_empty(), "{:?}", report.faults);
        self.db = Some(db);
        self.model = found;
        self.since_os = vec![self.model.clone()];
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Put(key, value, durability) => {
                let tree = self.db().default_tree();
                let version = tree.put_with(&key, &value, durability).unwrap();
                prop_assert!(self.last_version.is_none_or(|last| last < version));
                self.last_version = Some(version);
                let read = tree.get_with_version(&key).unwrap();
                prop_assert_eq!(read, Some((value.clone(), version)));
                self.model.insert(key, value);
                self.wrote(durability);
            }
            Action::Delete(key, durability) => {
                let tree = self.db().default_tree();
                let removed = tree.delete_with(&key, durability).unwrap();
                prop_assert_eq!(removed, self.model.remove(&key).is_some());
                prop_assert!(!tree.contains(&key).unwrap());
                self.wrote(durability);
            }
            Action::Checkpoint => {
                self.db().checkpoint().unwrap();
                self.wrote(Durability::Sync);
            }
            Action::Reopen => {
                self.db.take().expect("open between actions").close().unwrap();
                self.reopen(self.disk.clone(), vec![self.model.clone()])?;
                self.since_sync = vec![self.model.clone()];
            }
            Action::Kill => {
                let left = self.disk.kill();
                self.reopen(left, self.since_os.clone())?;
                // The writes that were not synced still are not.
                let place = self.since_sync.iter().rposition(|state| *state == self.model);
                self.since_sync.truncate(place.map_or(0, |place| place + 1));
            }
            Action::PowerCut(pattern, seed) => {
                let left = self.disk.crash(seed, pattern);
                self.reopen(left, self.since_sync.clone())?;
                self.since_sync = vec![self.model.clone()];
            }
            Action::List { prefix, delimiter, start_after, limit } => {
                let tree = self.db().default_tree();
                let scan = || {
                    let mut scan = tree.prefix(&prefix);
                    if let Some(delimiter) = &delimiter {
                        scan = scan.delimiter(delimiter);
                    }
                    if let Some(name) = &start_after {
                        scan = scan.start_after(name);
                    }
                    scan
                };
                let mut expected =
                    listing(&self.model, &prefix, delimiter.as_deref(), start_after.as_deref());
                prop_assert_eq!(&names(scan()).unwrap(), &expected);
                let page = expected.iter().take(limit as usize);
                prop_assert!(names(scan().limit(limit)).unwrap().iter().eq(page));
                expected.reverse();
                prop_assert_eq!(&names(scan().reverse()).unwrap(), &expected);
            }
            Action::Range(one, other) => {
                let (from, to) = (one.clone().min(other.clone()), one.max(other));
                let tree = self.db().default_tree();
                let expected: Vec<_> = self
                    .model
                    .range(from.clone()..to.clone())
                    .map(|(key, _)| key.clone())
                    .collect();
                let mut found = names(tree.range(&from..&to).keys_only()).unwrap();
                prop_assert_eq!(&found, &expected);
                found = names(tree.range(&from..&to).reverse()).unwrap();
                found.reverse();
                prop_assert_eq!(&found, &expected);
                let first = names(tree.range(&from..=&to).limit(1)).unwrap();
                let least = self.model.range(from..=to).next().map(|(key, _)| key.clone());
                prop_assert_eq!(first, Vec::from_iter(least));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_database_holds_what_a_map_holds(
        seed: u64,
        actions in vec(action(), 1..120),
    ) {
        let mut pair = Pair::new(seed);
        for action in actions {
            pair.act(action)?;
        }
        prop_assert_eq!(contents(&pair.db().default_tree()).unwrap(), pair.model.clone());
        let report = pair.db().verify().unwrap();
        prop_assert!(report.faults.is_empty(), "{:?}", report.faults);
        for (key, value) in &pair.model {
            let found = pair.db().default_tree().get(key).unwrap();
            prop_assert_eq!(found.as_ref(), Some(value));
        }
    }
}
