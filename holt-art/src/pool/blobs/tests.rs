//! Places of blobs against a model that knows of each unit whose it is.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::pool::pages::{SPARE, SPARE_LEAST};
use crate::pool::place::{pages_for, parts};

/// A unit to several pages, most of them with a tail, or a tail alone.
fn lengths() -> impl Strategy<Value = usize> {
    let unit = UNIT_BYTES;
    prop_oneof![
        4 => PAGE_BYTES - 600..3 * PAGE_BYTES,
        1 => (0..2 * PAGE_UNITS).prop_map(move |units| PAGE_BYTES + units * unit),
        2 => 1..PAGE_BYTES,
        1 => 1..8 * PAGE_BYTES,
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    /// Of those that there are, about the so manieth.
    Release(usize),
    /// Gives one up that is stored.
    Evict(Wanted),
    Yield(usize),
    /// All so far are in a committed cut.
    Store,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => lengths().prop_map(Step::Put),
        6 => any::<usize>().prop_map(Step::Release),
        2 => prop_oneof![Just(Wanted::Pages), Just(Wanted::Units)].prop_map(Step::Evict),
        1 => (1..40_usize).prop_map(Step::Yield),
        1 => Just(Step::Store),
    ];
    prop::collection::vec(step, 1..200)
}

fn value(number: u32, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32 * 7 + number * 31 + 1) as u8).collect()
}

struct World {
    blobs: Blobs,
    budget: Arc<Budget>,
    /// Most pages with memory.
    limit: Option<usize>,
    /// The length of each, and whether it is in memory.
    model: BTreeMap<u32, (usize, bool)>,
}

impl World {
    fn new(limit: Option<usize>, pages: usize) -> Self {
        let budget = Budget::new(limit);
        let blobs = Blobs::new((pages * PAGE_BYTES) as u64, Arc::clone(&budget)).unwrap();
        Self { blobs, budget, limit, model: BTreeMap::new() }
    }

    /// Whose each unit is, by the places alone.
    fn owners(&self) -> BTreeMap<u64, u32> {
        let mut owners = BTreeMap::new();
        for (&number, _) in self.model.iter().filter(|(_, (_, there))| *there) {
            let place = self.blobs.place(number);
            let units = PAGE_UNITS as u64;
            let body = u64::from(place.first) * units..u64::from(place.first + place.pages) * units;
            for unit in body.chain(place.tail..place.tail + u64::from(place.units)) {
                assert!(unit < self.blobs.units.slots() as u64);
                assert_eq!(owners.insert(unit, number), None, "two blobs have unit {unit}");
            }
        }
        owners
    }

    /// The pages that somebody's units are in.
    fn pages(owners: &BTreeMap<u64, u32>) -> BTreeSet<u64> {
        owners.keys().map(|unit| unit / PAGE_UNITS as u64).collect()
    }

    /// Whether some free units beside one another lie in pages that are shared and in use.
    fn shares(&self, owners: &BTreeMap<u64, u32>, units: u32) -> bool {
        let shared = |page: &u64| *page >= u64::from(self.blobs.pages() - self.tails());
        let mut run = (0, 0);
        for page in Self::pages(owners).into_iter().filter(shared) {
            for unit in page * PAGE_UNITS as u64..(page + 1) * PAGE_UNITS as u64 {
                run = if owners.contains_key(&unit) {
                    (0, 0)
                } else if run.0 + run.1 == unit {
                    (run.0, run.1 + 1)
                } else {
                    (unit, 1)
                };
                if run.1 == u64::from(units) {
                    return true;
                }
            }
        }
        false
    }

    fn tails(&self) -> u32 {
        lock(&self.blobs.books).tails.pages()
    }

    fn put(&mut self, length: usize) -> bool {
        let owners = self.owners();
        let before = (self.blobs.used(), self.blobs.held());
        let Some(place) = self.blobs.take(length) else {
            // Only for want of memory, and nothing has changed.
            let (pages, units) = parts(length);
            let shared = usize::from(units > 0 && !self.shares(&owners, units));
            let wanted = Self::pages(&owners).len() + pages as usize + shared;
            assert!(self.limit.is_some_and(|limit| wanted > limit), "{wanted} pages are there");
            assert_eq!((self.blobs.used(), self.blobs.held()), before);
            return false;
        };
        assert!(place.bytes() < length + UNIT_BYTES);
        let (least, most) = pages_for(length);
        assert!((least..=most).contains(&place.touched()));
        let number = self.blobs.count_new(place, place.touched()).unwrap();
        self.blobs.write(number, &value(number, length), place);
        self.blobs.born(number, 1);
        assert_eq!(self.model.insert(number, (length, true)), None);
        true
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(length) => drop(self.put(length)),
            Step::Release(at) => {
                let numbers: Vec<u32> = self.model.keys().copied().collect();
                if let Some(&number) = numbers.get(at % numbers.len().max(1)) {
                    self.blobs.release(number);
                    self.model.remove(&number);
                }
            }
            Step::Evict(wanted) => {
                if self.blobs.evict(wanted) {
                    for (&number, (_, there)) in &mut self.model {
                        *there = self.blobs.absent(number).is_none();
                    }
                }
            }
            Step::Yield(pages) => {
                let used = self.budget.used();
                if self.blobs.yield_pages(pages) {
                    assert!(self.budget.used() + pages as u64 <= used);
                } else {
                    assert!(used < (self.blobs.used().0 + pages) as u64);
                }
            }
            Step::Store => self.blobs.store(1, &BTreeSet::new()),
        }
    }

    fn check(&self) {
        self.blobs.check().unwrap();
        let owners = self.owners();
        let used = Self::pages(&owners).len();
        assert_eq!(self.blobs.used().0, used);
        assert_eq!(self.budget.used(), self.blobs.warm() as u64);
        let limit = self.limit.unwrap_or(used + used / SPARE + SPARE_LEAST);
        assert!(used <= self.blobs.warm() && self.blobs.warm() <= limit);
        for (&number, &(length, there)) in &self.model {
            let mut out = Vec::new();
            let copied = self.blobs.read(number, length, &mut out);
            if there {
                assert!(copied == Copied::Done && out == value(number, length), "blob {number}");
            } else {
                assert_eq!(copied, Copied::Absent);
            }
        }
    }

    /// Whether the system has the memory of all units.
    fn is_given_back(&self) -> bool {
        // Relaxed: nobody writes.
        let zero = |word: &AtomicU64| word.load(Ordering::Relaxed) == 0;
        (0..self.blobs.units.slots()).all(|unit| self.blobs.units.slot(unit).iter().all(zero))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn places_are_what_a_naive_model_says(
        limit in prop_oneof![1 => Just(None), 4 => (1..80_usize).prop_map(Some)],
        steps in steps(),
    ) {
        let mut world = World::new(limit, 4_096);
        for step in &steps {
            world.step(step);
            world.check();
        }
        // When all have gone all memory can go, and the arena is as it was.
        for number in std::mem::take(&mut world.model).into_keys() {
            world.blobs.release(number);
        }
        world.check();
        prop_assert!(world.blobs.yield_pages(world.blobs.warm()));
        prop_assert_eq!((world.budget.used(), world.tails()), (0, 0));
        prop_assert_eq!(lock(&world.blobs.books).pages.unused(), 4_096);
        prop_assert!(world.is_given_back() || cfg!(not(target_os = "linux")));
    }
}

#[test]
fn a_shared_page_is_given_back_when_its_last_unit_is_free() {
    let mut world = World::new(Some(16), 64);
    let length = PAGE_BYTES + 2 * UNIT_BYTES;
    assert!((0..3).all(|_| world.put(length)));
    // Three whole pages, and one for the three tails.
    assert_eq!((world.blobs.used().0, world.budget.used()), (4, 4));
    for (left, number) in [(3, 2), (2, 1), (0, 3)] {
        world.blobs.release(number);
        world.model.remove(&number);
        assert_eq!(world.blobs.used().0, left);
        assert_eq!(world.budget.used(), 4, "it stays for the next");
        world.check();
    }
    assert!((0..3).all(|_| world.put(length)));
    assert_eq!(world.budget.used(), 4);
    world.step(&Step::Release(0));
    world.step(&Step::Release(0));
    assert!(!world.blobs.yield_pages(3) && world.blobs.yield_pages(2));
    assert_eq!((world.blobs.used().0, world.budget.used()), (2, 2));
    world.check();
    world.step(&Step::Release(0));
    assert!(world.blobs.yield_pages(2) && world.is_given_back());
}

#[test]
fn a_place_that_has_no_room_for_its_tail_takes_none_at_all() {
    // By the budget, and by addresses.
    for (limit, pages) in [(Some(4), 64), (None, 4)] {
        let mut world = World::new(limit, pages);
        let before = lock(&world.blobs.books).pages.unused();
        assert!(world.blobs.take(4 * PAGE_BYTES + 1).is_none());
        assert_eq!((world.blobs.used(), world.tails()), ((0, 0, 0), 0));
        assert!(world.blobs.warm() <= 4);
        world.check();
        // It finds the four pages all the same when it needs no more.
        assert!(world.put(3 * PAGE_BYTES + 1));
        assert_eq!(world.blobs.used().0, 4);
        world.step(&Step::Release(0));
        assert!(world.blobs.yield_pages(world.blobs.warm()));
        assert_eq!(lock(&world.blobs.books).pages.unused(), before);
    }
}

#[test]
fn what_lasting_change_leaves_unused_is_a_small_share() {
    let mut state = 20_261_129_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let lengths = [
        (3_100, 3_100),
        (3_001, 4_095),
        (3_600, 4_700),
        (3_600, 8_200),
        (5_000, 7_000),
        (4_100, 70_000),
    ];
    for (shortest, longest) in lengths {
        let mut world = World::new(None, 1 << 16);
        let (mut numbers, mut payload, mut replaced) = (Vec::new(), 0, 0);
        while replaced < 21 * (8 << 20) {
            let length = shortest + below(longest - shortest + 1);
            while payload + length > 8 << 20 {
                let number = numbers.swap_remove(below(numbers.len()));
                payload -= world.model.remove(&number).unwrap().0;
                world.blobs.release(number);
            }
            assert!(world.put_unchecked(length, &mut numbers));
            payload += length;
            replaced += length;
        }
        world.check();
        let used = (world.blobs.used().0 * PAGE_BYTES) as f64 / payload as f64;
        let warm = (world.blobs.warm() * PAGE_BYTES) as f64 / payload as f64;
        println!("{shortest} to {longest} B: {used:.3} in use, {warm:.3} with memory");
        assert!(used <= 1.15 && warm <= 1.3);
    }
}

impl World {
    fn put_unchecked(&mut self, length: usize, numbers: &mut Vec<u32>) -> bool {
        let Some(place) = self.blobs.take(length) else { return false };
        let number = self.blobs.count_new(place, place.touched()).unwrap();
        self.blobs.write(number, &value(number, length), place);
        self.blobs.born(number, 1);
        self.model.insert(number, (length, true));
        numbers.push(number);
        true
    }
}

#[test]
fn a_page_is_had_from_tails_alone_by_giving_up_those_that_share_it() {
    let length = 13 * UNIT_BYTES;
    for wanted in [Wanted::Pages, Wanted::Units] {
        let mut world = World::new(Some(256), 256);
        while world.put(length) {}
        let (pages, blobs, _) = world.blobs.used();
        assert!(pages == 256 && blobs * 13 / PAGE_UNITS + 1 >= pages, "{blobs} blobs");
        world.step(&Step::Store);
        for given_up in 1..=16 {
            world.step(&Step::Evict(wanted));
            world.check();
            let (left, _, absent) = world.blobs.used();
            match wanted {
                Wanted::Pages => assert!(left + given_up <= pages && absent <= 3 * given_up),
                Wanted::Units => assert_eq!(absent, given_up),
            }
        }
        // What is wanted most often, a place for another of them, costs one of them.
        assert!(world.put(length));
    }
}

#[test]
fn a_page_is_not_emptied_in_vain_for_a_tail_that_has_to_stay() {
    let mut world = World::new(Some(64), 64);
    // One beside the tail of a longer one, and one beside one that no cut has.
    assert!(world.put(8 * UNIT_BYTES) && world.put(PAGE_BYTES + 8 * UNIT_BYTES));
    assert!(world.put(8 * UNIT_BYTES));
    world.step(&Step::Store);
    assert!(world.put(8 * UNIT_BYTES));
    for absent in 1..=3 {
        world.step(&Step::Evict(Wanted::Pages));
        assert_eq!(world.blobs.used().2, absent);
        world.check();
    }
    assert!(!world.blobs.evict(Wanted::Pages));
}

#[test]
fn tails_move_together_when_most_of_them_have_gone() {
    let mut world = World::new(None, 1 << 12);
    let mut numbers = Vec::new();
    for _ in 0..1_024 {
        assert!(world.put_unchecked(13 * UNIT_BYTES, &mut numbers));
    }
    let full = world.blobs.used().0;
    for number in numbers.iter().copied().filter(|number| number % 4 > 0) {
        world.blobs.release(number);
        world.model.remove(&number);
    }
    world.check();
    let used = world.blobs.used().0;
    println!("{full} pages, and {used} for a quarter of the blobs");
    assert!(used * 3 <= full);
}

#[test]
fn an_arena_can_be_filled_with_tails_alone() {
    let mut world = World::new(None, 64);
    let (mut numbers, length) = (Vec::new(), crate::frame::leaf::MAX_PLACED + 1);
    while world.put_unchecked(length, &mut numbers) {}
    assert_eq!(numbers.len(), 64 * PAGE_UNITS / length.div_ceil(UNIT_BYTES));
    world.check();
}
