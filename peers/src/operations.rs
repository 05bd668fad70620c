//! The operations that are measured one by one: what each models, and its stream.

use crate::rng::{Rng, Zipf, mix};
use crate::shapes::{KeySpace, Shape};
use crate::stream::{Action, Stream};

/// A measured operation or mix of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Gets of keys that are there.
    GetHit,
    /// Gets of keys that are not.
    GetMiss,
    /// Overwrites.
    Put,
    /// Half gets, half overwrites.
    Mixed,
    /// Listings of 100 records.
    ListRecords,
    /// Listings of 100 keys.
    ListKeys,
    /// Delimiter listings of 8 groups.
    Groups,
    /// A key that is stored and removed.
    CreateDelete,
    /// A key that is renamed.
    Rename,
    /// The metadata mix.
    Metadata,
    /// YCSB's update-heavy mix.
    YcsbA,
    /// YCSB's read-mostly mix.
    YcsbB,
    /// YCSB's read-only mix.
    YcsbC,
    /// YCSB's read-latest mix.
    YcsbD,
    /// YCSB's short ranges.
    YcsbE,
    /// YCSB's read-modify-write mix.
    YcsbF,
}

impl Operation {
    /// Every operation, in the order of the tables.
    pub(crate) const ALL: [Self; 16] = [
        Self::GetHit,
        Self::GetMiss,
        Self::Put,
        Self::Mixed,
        Self::ListRecords,
        Self::ListKeys,
        Self::Groups,
        Self::CreateDelete,
        Self::Rename,
        Self::Metadata,
        Self::YcsbA,
        Self::YcsbB,
        Self::YcsbC,
        Self::YcsbD,
        Self::YcsbE,
        Self::YcsbF,
    ];

    /// The operations of the core workload.
    pub(crate) const CORE: [Self; 10] = [
        Self::GetHit,
        Self::GetMiss,
        Self::ListRecords,
        Self::ListKeys,
        Self::Groups,
        Self::Put,
        Self::Mixed,
        Self::CreateDelete,
        Self::Rename,
        Self::Metadata,
    ];

    /// The mixes of YCSB in the order that their authors recommend: E, which inserts and lists,
    /// comes last.
    pub(crate) const YCSB: [Self; 6] =
        [Self::YcsbA, Self::YcsbB, Self::YcsbC, Self::YcsbD, Self::YcsbF, Self::YcsbE];

    /// The name in the tables and the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetHit => "get (hit)",
            Self::GetMiss => "get (miss)",
            Self::Put => "put (overwrite)",
            Self::Mixed => "mixed 50/50",
            Self::ListRecords => "list 100 records",
            Self::ListKeys => "list 100 keys",
            Self::Groups => "list 8 groups",
            Self::CreateDelete => "create + delete",
            Self::Rename => "rename one key",
            Self::Metadata => "metadata mix",
            Self::YcsbA => "YCSB A",
            Self::YcsbB => "YCSB B",
            Self::YcsbC => "YCSB C",
            Self::YcsbD => "YCSB D",
            Self::YcsbE => "YCSB E",
            Self::YcsbF => "YCSB F",
        }
    }

    /// What it models and why it is fair.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::GetHit => {
                "`stat` of files at random: uniform over all keys, so the caches of no engine are \
                 flattered. Values are seen in place where the engine can, and touched."
            }
            Self::GetMiss => {
                "`stat` of a name that is not there, each beside one that is (`file-0042.bin~`), \
                 so that no engine can tell from the first bytes; bloom filters are on where an \
                 engine has them."
            }
            Self::Put => {
                "Metadata that changes: the value of a random key is replaced by one of the same \
                 length, which lets engines that can overwrite in place do so."
            }
            Self::Mixed => {
                "Half random gets, half overwrites, in random order: what a server does between \
                 its listings."
            }
            Self::ListRecords => {
                "`ls -l` of a directory, or a page of a longer one: up to 100 records in key order \
                 from a random place. Engines that can show them in place do."
            }
            Self::ListKeys => {
                "`ls` of the same places: names alone, for engines that can leave values out."
            }
            Self::Groups => {
                "One level of a listing with delimiter `/`, up to 8 groups. Engines without such \
                 an operation get the fast-forward seek, one seek a group, not a scan of all keys \
                 below."
            }
            Self::CreateDelete => {
                "A temporary file: a new name beside a random existing one is stored and removed \
                 again, two transactions, timed as one operation."
            }
            Self::Rename => {
                "`mv` of one file, every second one back again. Engines without a rename read the \
                 value, and store and remove in one atomic batch where they have one."
            }
            Self::Metadata => {
                "What a metadata server sees: 45 % get, 20 % update, 10 % list 100 records, 10 % \
                 list 8 groups, 10 % create + delete, 5 % rename, in random order. The shares are \
                 fixed beforehand and the same for all; the cost of the listings dominates."
            }
            Self::YcsbA => {
                "50 % get, 50 % update with Zipf's popularity (0.99): the public standard mix, \
                 written by others."
            }
            Self::YcsbB => "95 % get, 5 % update with Zipf's popularity: read-mostly, as above.",
            Self::YcsbC => "Gets with Zipf's popularity: read-only, as above.",
            Self::YcsbD => {
                "95 % get of lately inserted keys, 5 % insert: news feeds; favours engines whose \
                 newest data are still in memory tables."
            }
            Self::YcsbE => {
                "95 % listings of up to 100 records from a random key, 5 % insert: threads of \
                 conversation."
            }
            Self::YcsbF => {
                "50 % get, 50 % read-modify-write with Zipf's popularity: counters and leases, as \
                 two transactions for all engines."
            }
        }
    }

    /// Why the operation makes no sense for a shape of keys.
    pub(crate) fn refused_by(self, shape: Shape) -> Option<&'static str> {
        match self {
            Self::Groups | Self::Metadata if shape == Shape::Kv => {
                Some("random bytes have no levels")
            }
            _ => None,
        }
    }

    /// Whether the operation writes.
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            Self::GetHit
                | Self::GetMiss
                | Self::ListRecords
                | Self::ListKeys
                | Self::Groups
                | Self::YcsbC
        )
    }

    /// Whether the operation is dominated by listings.
    fn lists(self) -> bool {
        matches!(self, Self::ListRecords | Self::ListKeys | Self::Groups | Self::YcsbE)
    }

    /// The length of a stream to verify answers with. `slow` when each write is synced.
    pub(crate) fn verified(self, slow: bool) -> usize {
        match (self.lists(), self.writes() && slow) {
            (true, false) => 256,
            (_, true) => 64,
            (false, false) => 2_048,
        }
    }

    /// The length of a stream to measure with: long enough over `size` keys that the caches of the
    /// machine are as cold as random access makes them.
    pub(crate) fn measured(self, size: usize) -> usize {
        match self.lists() {
            true => 1 << 13,
            false => size.clamp(1 << 15, 1 << 20),
        }
    }

    /// The stream of this operation: `count` steps over the loaded keys of `space`.
    pub(crate) fn stream(self, space: &KeySpace, count: usize, seed: u64) -> Stream {
        self.stream_of(space, count, seed, Owner::of_all())
    }

    /// As [`Operation::stream`], with gets and overwrites of what `owner` has and nothing else.
    pub(crate) fn stream_of(
        self,
        space: &KeySpace,
        count: usize,
        seed: u64,
        owner: Owner,
    ) -> Stream {
        let mut maker = Maker {
            owner,
            stream: Stream::new(space.shape().delimiter()),
            space,
            rng: Rng::new(seed ^ mix(self as u64 + 1)),
            zipf: matches!(
                self,
                Self::YcsbA | Self::YcsbB | Self::YcsbC | Self::YcsbD | Self::YcsbF
            )
            .then(|| Zipf::new(space.loaded())),
            inserted: 0,
            renamed: None,
            generation: 1 + seed % 1_000,
            value: Vec::new(),
        };
        for _ in 0..count {
            maker.step(self);
        }
        // A name that was taken is given back, so that every stream leaves the keys as they were.
        maker.restore();
        maker.stream
    }
}

/// One of several who share the directories out among themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    number: u64,
    of: u64,
}

impl Owner {
    /// Number `number` of `of`, counted from zero.
    pub(crate) fn new(number: usize, of: usize) -> Self {
        Self { number: number as u64, of: of as u64 }
    }

    /// The only one.
    pub(crate) fn of_all() -> Self {
        Self::new(0, 1)
    }

    fn has(self, space: &KeySpace, index: usize) -> bool {
        self.of == 1 || space.directory(index) % self.of == self.number
    }
}

/// A stream while it is being made.
struct Maker<'a> {
    owner: Owner,
    stream: Stream,
    space: &'a KeySpace,
    rng: Rng,
    zipf: Option<Zipf>,
    inserted: usize,
    renamed: Option<(Vec<u8>, Vec<u8>)>,
    generation: u64,
    value: Vec<u8>,
}

impl Maker<'_> {
    fn step(&mut self, operation: Operation) {
        let percent = self.rng.below(100);
        match operation {
            Operation::GetHit => self.get(),
            Operation::GetMiss => {
                let index = self.rng.below(self.space.loaded());
                let key = [self.space.key(index), b"~"].concat();
                self.stream.push(Action::Get, &key, None);
            }
            Operation::Put => self.put(),
            Operation::Mixed => match percent {
                0..50 => self.get(),
                _ => self.put(),
            },
            Operation::ListRecords => self.list(Action::ListRecords),
            Operation::ListKeys => self.list(Action::ListKeys),
            Operation::Groups => self.groups(),
            Operation::CreateDelete => self.create_delete(),
            Operation::Rename => self.rename(),
            Operation::Metadata => match percent {
                0..45 => self.get(),
                45..65 => self.put(),
                65..75 => self.list(Action::ListRecords),
                75..85 => self.groups(),
                85..95 => self.create_delete(),
                _ => self.rename(),
            },
            Operation::YcsbA => self.popular(percent < 50, Action::Put),
            Operation::YcsbB => self.popular(percent < 95, Action::Put),
            Operation::YcsbC => self.popular(true, Action::Put),
            Operation::YcsbD => match percent {
                0..95 => self.latest(),
                _ => self.insert(),
            },
            Operation::YcsbE => match percent {
                0..95 => {
                    let index = self.rng.below(self.space.loaded());
                    self.stream.push(Action::ListRecords, b"", Some(self.space.key(index)));
                }
                _ => self.insert(),
            },
            Operation::YcsbF => self.popular(percent < 50, Action::ReadModifyWrite),
        }
    }

    /// A key at random, of those that the owner has.
    fn own(&mut self) -> usize {
        // Where all keys are in one directory, somebody has none, and gets any.
        let mut tries = (0..1_000).map(|_| self.rng.below(self.space.loaded()));
        let found = tries.by_ref().find(|&index| self.owner.has(self.space, index));
        found.unwrap_or_else(|| self.rng.below(self.space.loaded()))
    }

    fn get(&mut self) {
        let index = self.own();
        self.stream.push(Action::Get, self.space.key(index), None);
    }

    fn write(&mut self, action: Action, index: usize) {
        self.value.clear();
        self.space.write_value(index, self.generation, &mut self.value);
        self.stream.push(action, self.space.key(index), Some(&self.value));
    }

    fn put(&mut self) {
        let index = self.own();
        self.write(Action::Put, index);
    }

    fn popular(&mut self, read: bool, write: Action) {
        let rank = match &self.zipf {
            Some(zipf) => zipf.rank(&mut self.rng),
            None => self.rng.below(self.space.loaded()),
        };
        // Popular keys are scattered over the key space, as YCSB does it.
        let index = (mix(rank as u64) % self.space.loaded() as u64) as usize;
        match read {
            true => self.stream.push(Action::Get, self.space.key(index), None),
            false => self.write(write, index),
        }
    }

    fn latest(&mut self) {
        let newest = self.space.loaded() + self.inserted.min(self.space.spare());
        let age = self.zipf.as_ref().map_or(0, |zipf| zipf.rank(&mut self.rng));
        self.stream.push(Action::Get, self.space.key(newest - 1 - age), None);
    }

    fn insert(&mut self) {
        let index = self.space.loaded() + self.inserted % self.space.spare().max(1);
        self.inserted += 1;
        self.write(Action::Put, index);
    }

    fn list(&mut self, action: Action) {
        let (prefix, after) = self.space.listing(self.rng.below(self.space.loaded()));
        self.stream.push(action, &prefix, after.as_deref());
    }

    fn groups(&mut self) {
        let (prefix, after) = self.space.grouping(self.rng.below(self.space.loaded()));
        self.stream.push(Action::Groups, &prefix, after.as_deref());
    }

    fn create_delete(&mut self) {
        let index = self.rng.below(self.space.loaded());
        let key = [self.space.key(index), b".tmp"].concat();
        self.value.clear();
        self.space.write_value(index, self.generation, &mut self.value);
        self.stream.push(Action::CreateDelete, &key, Some(&self.value));
    }

    fn rename(&mut self) {
        if self.restore() {
            return;
        }
        let index = self.rng.below(self.space.loaded());
        let from = self.space.key(index).to_vec();
        let to = [self.space.key(index), b".old"].concat();
        self.stream.push(Action::Rename, &from, Some(&to));
        self.renamed = Some((from, to));
    }

    /// Gives a name back that the last rename took. Whether there was one.
    fn restore(&mut self) -> bool {
        let Some((from, to)) = self.renamed.take() else { return false };
        self.stream.push(Action::Rename, &to, Some(&from));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Mode, Query, Setup, Want};
    use crate::engines;
    use crate::stream::{GROUPS, LIST, Sink};

    fn empty() -> Box<dyn Engine> {
        let kind = engines::all().into_iter().find(|kind| kind.name == "btreemap");
        (kind.expect("the standard library is always there").open)(&Setup {
            dir: std::env::temp_dir(),
            mode: Mode::Memory,
            cache: 1 << 20,
        })
        .expect("a map opens")
    }

    fn loaded() -> (KeySpace, Box<dyn Engine>) {
        let space = KeySpace::new(Shape::Objstore, 4_096, 128, 5, None).expect("generated");
        let engine = empty();
        let mut session = engine.session().expect("a handle");
        for index in 0..space.loaded() {
            let mut value = Vec::new();
            space.write_value(index, 0, &mut value);
            session.put(space.key(index), &value).expect("stored");
        }
        drop(session);
        (space, engine)
    }

    #[test]
    fn every_stream_leaves_the_loaded_keys_in_place() {
        let (space, engine) = loaded();
        let mut session = engine.session().expect("a handle");
        for operation in Operation::ALL {
            operation.stream(&space, 999, 7).verify(session.as_mut()).expect("answers");
            for index in 0..space.loaded() {
                let found = session.get(space.key(index), &mut |_| {}).expect("an answer");
                assert!(found, "{} lost key {index}", operation.name());
            }
        }
    }

    #[test]
    fn owners_share_the_directories_out() {
        for shape in [Shape::Objstore, Shape::Fs, Shape::Kv, Shape::Url, Shape::Deep] {
            let space = KeySpace::new(shape, 4_096, 128, 5, None).expect("generated");
            let owners = [Owner::new(0, 2), Owner::new(1, 2)];
            let counts = owners.map(|owner| (0..4_096).filter(|&n| owner.has(&space, n)).count());
            assert_eq!(counts[0] + counts[1], 4_096, "{shape:?}: {counts:?}");
            assert!(counts.iter().all(|&count| count > 1_000), "{shape:?}: {counts:?}");
            let engine = empty();
            let mut session = engine.session().expect("a handle");
            let stream = Operation::Put.stream_of(&space, 999, 7, owners[1]);
            stream.run(0, 999, session.as_mut(), &mut Sink::touching()).expect("it takes all");
            let mut put = (0..4_096)
                .filter(|&n| session.get(space.key(n), &mut |_| {}).expect("an answer"))
                .peekable();
            assert!(put.peek().is_some() && put.all(|n| owners[1].has(&space, n)), "{shape:?}");
        }
    }

    #[test]
    fn a_different_answer_gives_a_different_hash() {
        let (space, engine) = loaded();
        let mut session = engine.session().expect("a handle");
        for operation in [Operation::GetHit, Operation::ListRecords, Operation::ListKeys] {
            let stream = operation.stream(&space, 2_000, 7);
            let before = stream.verify(session.as_mut()).expect("answers");
            assert_eq!(before, stream.verify(session.as_mut()).expect("answers"));
            for index in (0..space.loaded()).step_by(64) {
                session.delete(space.key(index)).expect("removed");
            }
            let after = stream.verify(session.as_mut()).expect("answers");
            assert_ne!(before, after, "{}", operation.name());
            for index in (0..space.loaded()).step_by(64) {
                let mut value = Vec::new();
                space.write_value(index, 0, &mut value);
                session.put(space.key(index), &value).expect("stored");
            }
        }
    }

    #[test]
    fn listings_and_groups_of_an_object_store_are_full() {
        let (space, engine) = loaded();
        let mut session = engine.session().expect("a handle");
        for index in 0..space.loaded() {
            let (prefix, after) = space.listing(index);
            let query = Query { prefix: &prefix, after: after.as_deref(), limit: LIST };
            let count = session.list(query, Want::Records, &mut |_, _| {}).expect("a listing");
            assert_eq!(count, LIST);
            let (prefix, after) = space.grouping(index);
            let query = Query { prefix: &prefix, after: after.as_deref(), limit: GROUPS };
            let count = session.groups(query, b'/', &mut |_| {}).expect("a listing");
            assert_eq!(count, GROUPS);
        }
    }
}
