//! Any bytes as a program of operations on a tree, run beside a `BTreeMap`: mutations of keys
//! and prefixes, lists with every option, snapshots, trials and cuts, in a pool with room or
//! in one that is soon full. The structure is verified every few steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use holt_art::{
    Condition, Cursor, Cut, Entry, EntryRef, Error, MAX_KEY, Outlook, Pool, PoolOptions, Scan,
    SnapshotTree, Tree, Version,
};

use crate::bytes::Bytes;
use crate::change::{Change, Full, Pair};
use crate::model::{Model, below};

/// A program stops after so many operations, so that none takes long.
const MOST_STEPS: usize = 400;
/// Steps between two verifications of the structure, and between two of the contents.
const VERIFY: usize = 4;
const COMPARE: usize = 32;
/// Snapshots that are open at a time.
const SNAPSHOTS: usize = 2;

/// Runs a program.
///
/// # Panics
///
/// When the tree does not do what the map does, is not sound, or keeps memory at the end.
pub(crate) fn run(program: &[u8]) {
    let mut bytes = Bytes(program);
    let mut run = Run::new(bytes.byte());
    for step in 1..=MOST_STEPS {
        if bytes.is_over() {
            break;
        }
        run.step(&mut bytes);
        if step % VERIFY == 0 {
            run.verify();
        }
        if step % COMPARE == 0 {
            compare(&run.pair.tree, &run.model);
        }
    }
    run.end();
}

/// What a tree and a tree of a snapshot both answer.
trait Reads {
    fn record(&self, key: &[u8]) -> Option<(Vec<u8>, Version)>;
    fn lines(&self, scan: Scan) -> Cursor;
    fn ends(&self, prefix: &[u8]) -> [Option<Entry>; 2];
    /// How many keys begin with the prefix, and whether none does.
    fn counted(&self, prefix: &[u8]) -> (u64, bool);
}

macro_rules! reads {
    ($type:ty) => {
        impl Reads for $type {
            fn record(&self, key: &[u8]) -> Option<(Vec<u8>, Version)> {
                let record = self.get(key, |value, version| (value.to_vec(), version)).unwrap();
                let mut value = Vec::new();
                let version = self.get_into(key, &mut value).unwrap();
                assert_eq!(version.map(|version| (value, version)), record);
                assert_eq!(self.version(key).unwrap(), version);
                record
            }

            fn lines(&self, scan: Scan) -> Cursor {
                self.cursor(scan)
            }

            fn ends(&self, prefix: &[u8]) -> [Option<Entry>; 2] {
                [self.first(prefix).unwrap(), self.last(prefix).unwrap()]
            }

            fn counted(&self, prefix: &[u8]) -> (u64, bool) {
                (self.count(prefix).unwrap(), self.is_prefix_empty(prefix).unwrap())
            }
        }
    };
}

reads!(Tree);
reads!(SnapshotTree);

fn record(entry: &Entry) -> (Vec<u8>, (Vec<u8>, Version)) {
    match entry.as_ref() {
        EntryRef::Key { key, value, version } => (key.to_vec(), (value.to_vec(), version)),
        EntryRef::Group { .. } => panic!("no groups were asked for"),
    }
}

/// That the tree has exactly what the map has.
fn compare(tree: &impl Reads, model: &Model) {
    assert_eq!(tree.counted(b""), (model.len() as u64, model.is_empty()));
    for reverse in [false, true] {
        let list = tree.lines(Scan::all().reverse(reverse)).map(|entry| record(&entry.unwrap()));
        let list: Vec<_> = list.collect();
        assert_eq!(list.len(), model.len());
        let mut list = list.iter();
        let same =
            |(key, record)| list.next().is_some_and(|line| (&line.0, &line.1) == (key, record));
        let is_same = if reverse { model.iter().rev().all(same) } else { model.iter().all(same) };
        assert!(is_same, "the list differs, reverse: {reverse}");
    }
}

fn entry((key, (value, version)): (&Vec<u8>, &(Vec<u8>, Version))) -> Entry {
    Entry::record(key, value, *version)
}

struct Run {
    pool: Arc<Pool>,
    pair: Pair,
    model: Model,
    version: u64,
    /// Whether the pool may run out of room.
    tight: bool,
    /// What a store would have of the committed cuts.
    store: BTreeMap<u64, Vec<u8>>,
    cut: Option<(Cut, Model)>,
    snapshots: Vec<(SnapshotTree, Model)>,
}

impl Run {
    /// An empty tree in a pool whose size the byte tells: of even ones more than a program
    /// can fill.
    fn new(size: u8) -> Self {
        let tight = size % 2 == 1;
        let options = if tight {
            let frames = 20 + u64::from(size / 2);
            PoolOptions::with_bytes(frames * Pool::FRAME_BYTES as u64, u64::from(size) << 12)
        } else {
            PoolOptions::with_bytes(1 << 30, 256 << 20)
        };
        let pool = Pool::new(options).unwrap();
        let [tree, trash] = [(); 2].map(|()| pool.create_tree(&pool.enter()).unwrap());
        Self {
            pool,
            pair: Pair { tree, trash },
            model: Model::new(),
            version: 0,
            tight,
            store: BTreeMap::new(),
            cut: None,
            snapshots: Vec::new(),
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 32 {
            number @ 0..=15 => {
                let change = self.change(number, bytes);
                self.apply(&change);
            }
            16 | 17 => self.fill(bytes),
            18 | 19 => self.list(bytes),
            20 | 21 => self.ask(bytes),
            22 | 23 => {
                let left = self.pair.trash.reclaim(&self.pool.enter(), bytes.byte().into());
                match left {
                    Ok(left) => assert_eq!(left, !self.pair.trash.is_empty()),
                    Err(error) => self.refused(&error),
                }
            }
            24..=26 => self.trial(bytes),
            27 | 28 => self.snapshot(bytes.byte()),
            _ => self.cut(bytes.byte()),
        }
    }

    /// One of sixteen kinds of change, most of them puts.
    fn change(&self, number: u8, bytes: &mut Bytes<'_>) -> Change {
        let model = &self.model;
        let key = bytes.name(model);
        match number % 16 {
            0..=6 => {
                let condition = bytes.condition(model, &key);
                Change::Put(key, bytes.value(), condition)
            }
            7 | 8 => {
                let condition = bytes.condition(model, &key);
                Change::Remove(key, condition)
            }
            9 | 10 => {
                // What comes first at or after it, so that removals hit.
                let key = model.range(key.clone()..).next().map_or(key, |(key, _)| key.clone());
                Change::Remove(key, Condition::Always)
            }
            11..=13 => {
                let to = bytes.name(model);
                Change::Rename(key, to, bytes.existing())
            }
            _ => Change::RemovePrefix(key),
        }
    }

    fn next(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version).expect("there are fewer changes")
    }

    fn apply(&mut self, change: &Change) {
        let version = self.next();
        let applied = self.pair.apply(&mut self.model, change, version);
        assert!(applied.is_ok() || self.tight, "a pool with room is full");
    }

    fn refused(&self, error: &Error) {
        assert!(self.tight && matches!(error, Error::PoolFull { .. }), "{error}");
    }

    /// A directory full of neighbours, made or removed.
    fn fill(&mut self, bytes: &mut Bytes<'_>) {
        let (name, count, length) = (bytes.name(&self.model), bytes.byte(), bytes.byte());
        if name.len() > 2_000 {
            return;
        }
        for n in 0..u32::from(count) * 2 {
            let key = [&name[..], &n.wrapping_mul(0x9E37_79B1).to_be_bytes()].concat();
            let change = match length % 8 {
                0 => Change::Remove(key, Condition::Always),
                _ => Change::Put(key, vec![n as u8; length.into()], Condition::Always),
            };
            self.apply(&change);
        }
    }

    fn list(&self, bytes: &mut Bytes<'_>) {
        let list = bytes.list(&self.model);
        let check = |tree: &dyn Reads, model: &Model| {
            let got: Vec<Entry> = tree.lines(list.scan()).map(Result::unwrap).collect();
            let expected = list.lines(model);
            let differs = got.iter().zip(&expected).position(|(line, right)| line != right);
            let differs = differs.unwrap_or(got.len().min(expected.len()));
            assert!(
                got == expected,
                "{list:?}: line {differs} is {:?} and must be {:?}",
                got.get(differs),
                expected.get(differs)
            );
        };
        check(&self.pair.tree, &self.model);
        self.snapshots.iter().for_each(|(tree, model)| check(tree, model));
    }

    /// Every question about one name.
    fn ask(&self, bytes: &mut Bytes<'_>) {
        let [name, second, third] = [(); 3].map(|()| {
            let mut name = bytes.name(&self.model);
            name.truncate(MAX_KEY);
            name
        });
        let check = |tree: &dyn Reads, model: &Model| {
            assert_eq!(tree.record(&name).as_ref(), model.get(&name));
            let keys = below(model, &name);
            assert_eq!(tree.counted(&name), (keys.len() as u64, keys.is_empty()));
            let expected =
                [keys.first(), keys.last()].map(|key| key.map(|key| entry((key, &model[key]))));
            assert_eq!(tree.ends(&name), expected);
        };
        check(&self.pair.tree, &self.model);
        self.snapshots.iter().for_each(|(tree, model)| check(tree, model));

        let tree = &self.pair.tree;
        let upto = self.model.range(..=name.clone()).rev();
        let longest = upto.filter(|(key, _)| name.starts_with(key)).map(entry).next();
        assert_eq!(tree.longest_prefix(&name).unwrap(), longest);
        let keys = [name, second, third];
        let mut found = vec![None; keys.len()];
        tree.get_many(&keys, |at, record| {
            found[at] = record.map(|(value, version)| (value.to_vec(), version));
        })
        .unwrap();
        assert!(keys.iter().map(|key| self.model.get(key)).eq(found.iter().map(Option::as_ref)));
    }

    /// Several changes that count as one, kept or taken back.
    fn trial(&mut self, bytes: &mut Bytes<'_>) {
        let (fate, count) = (bytes.byte(), bytes.byte() % 12 + 1);
        let changes: Vec<Change> = (0..count)
            .map(|_| {
                let number = bytes.byte();
                self.change(number, bytes)
            })
            .collect();
        let values = changes.iter().map(|change| match change {
            Change::Put(_, value, _) => value.len() as u64,
            _ => 0,
        });
        let (back, dropped) = (fate % 4 == 0, fate % 4 == 1);
        let outlook = Outlook {
            mutations: changes.len(),
            bytes: values.sum(),
            revocable: back || dropped || fate % 4 == 2,
        };
        let pool = Arc::clone(&self.pool);
        let closed = pool.close_gate();
        let trial = pool.trial(&closed, outlook);
        let mut after = self.model.clone();
        let mut done = Ok(());
        for change in &changes {
            let version = self.next();
            done = self.pair.apply_inside(&mut after, change, version, &closed, trial.moving());
            if done.is_err() {
                break;
            }
        }
        match done {
            Err(Full) => {
                assert!(self.tight, "a pool with room is full");
                assert!(trial.take_back(), "a trial that can fail must be one to take back");
            }
            Ok(()) if back => assert!(trial.take_back()),
            Ok(()) if dropped => drop(trial),
            Ok(()) => {
                trial.keep();
                self.model = after;
            }
        }
        drop(closed);
        self.verify();
        compare(&self.pair.tree, &self.model);
    }

    /// Takes a snapshot, or compares the oldest one a last time and drops it.
    fn snapshot(&mut self, choice: u8) {
        if self.snapshots.len() < SNAPSHOTS && !choice.is_multiple_of(4) {
            let snapshot = self.pool.snapshot(&self.pool.close_gate());
            let tree = snapshot.tree(self.pair.tree.root()).unwrap();
            self.snapshots.push((tree, self.model.clone()));
        } else if !self.snapshots.is_empty() {
            let (tree, model) = self.snapshots.remove(0);
            compare(&tree, &model);
        }
    }

    /// Takes a cut, or ends the one that is open.
    fn cut(&mut self, choice: u8) {
        let Some((cut, model)) = self.cut.take() else {
            let closed = self.pool.close_gate();
            self.cut = Some((self.pool.cut(&closed).unwrap(), self.model.clone()));
            assert!(matches!(self.pool.cut(&closed), Err(Error::CutOpen)));
            return;
        };
        if choice.is_multiple_of(4) {
            return drop(cut);
        }
        for object in cut.dirty() {
            let mut image = Vec::new();
            cut.image(object, &mut image).unwrap();
            self.store.insert(object, image);
        }
        for object in cut.freed() {
            self.store.remove(&object);
        }
        cut.commit();
        // The store has the tree of the cut now, whatever has changed since.
        let pool = Pool::new(PoolOptions::with_bytes(1 << 30, 256 << 20)).unwrap();
        for (&object, image) in &self.store {
            pool.load(object, image).unwrap();
        }
        let roots = [self.pair.tree.root(), self.pair.trash.root()];
        assert_eq!(pool.verify(&pool.close_gate(), &roots), []);
        compare(&pool.open_tree(roots[0]).unwrap(), &model);
    }

    /// That every frame, slot and blob of the pool is accounted for.
    fn verify(&self) {
        let roots = [self.pair.tree.root(), self.pair.trash.root()];
        assert_eq!(self.pool.verify(&self.pool.close_gate(), &roots), []);
    }

    /// Compares all that is open and lets it go; then nothing but two roots may be left.
    fn end(mut self) {
        self.verify();
        compare(&self.pair.tree, &self.model);
        while !self.snapshots.is_empty() {
            self.snapshot(0);
        }
        if self.cut.is_some() {
            self.cut(1);
        }
        self.verify();
        while self.pair.trash.reclaim(&self.pool.enter(), 7).unwrap() {}
        self.apply(&Change::RemovePrefix(Vec::new()));
        // A pool without a free frame cannot hang everything elsewhere.
        for key in below(&self.model, b"") {
            let version = self.next();
            let change = Change::Remove(key, Condition::Always);
            self.pair.apply(&mut self.model, &change, version).expect("nothing is pinned");
        }
        while self.pair.trash.reclaim(&self.pool.enter(), 7).unwrap() {}
        self.cut(0);
        self.cut(1);
        self.verify();
        let stats = self.pool.stats();
        let held = (stats.frames, stats.slot_bytes, stats.blob_bytes, stats.pins);
        assert_eq!(held, (2, 2 * Pool::FRAME_BYTES as u64, 0, 0), "{stats:?}");
    }
}
