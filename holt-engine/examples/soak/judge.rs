//! The verdict on what a killed writer left.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use holt_engine::{Create, Db, Durability, Options};

use crate::story::{Report, THREADS, step};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps what is known from outside of the writers.
pub(crate) struct Judge {
    seed: u64,
    /// What each thread's keys held when the last writer began.
    before: Vec<Contents>,
    /// The highest version that any writer was told.
    highest: u64,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    kills: u64,
    ends: u64,
    acknowledged: u64,
    lost: u64,
    checkpoints: u64,
}

/// How much of a thread's writes is there: at least the first `least` and at most the first `most`, which differ only
/// by writes that undo each other.
struct Found {
    least: u32,
    most: u32,
}

impl Judge {
    pub(crate) fn new(seed: u64) -> Judge {
        let before = vec![Contents::new(); usize::from(THREADS)];
        Judge { seed, before, highest: 0, figures: Figures::default() }
    }

    /// Checks what run `run` left, of which these are the acknowledgements in the order in which they came.
    pub(crate) fn judge(
        &mut self,
        path: &Path,
        run: u32,
        reports: &[Report],
        ended: bool,
    ) -> Result<(), String> {
        let threads = self.sort(reports)?;
        let open = Options::new().create(Create::IfMissing).open(path);
        let db = open.map_err(|error| format!("does not open: {error}"))?;
        let verified = db.verify().map_err(|error| format!("cannot be verified: {error}"))?;
        if !verified.faults.is_empty() {
            return Err(format!("is not sound: {:?}", verified.faults));
        }
        let mut contents = split(&db)?;
        // The highest version that is certainly there, and the lowest that is certainly not.
        let (mut included, mut excluded) = (0, u64::MAX);
        for (thread, versions) in threads.iter().enumerate() {
            let found =
                self.prefix(run, thread as u8, versions.len() as u32, &contents[thread], ended)?;
            let versions = |from: u32, to: u32| {
                let to = (to as usize).min(versions.len());
                versions[(from as usize).min(to)..to].iter().copied().filter(|&version| version > 0)
            };
            included = included.max(versions(0, found.least).max().unwrap_or(0));
            excluded = excluded.min(versions(found.most, u32::MAX).min().unwrap_or(u64::MAX));
            self.figures.lost += versions(found.most, u32::MAX).count() as u64;
            self.versions(
                &db,
                run,
                thread as u8,
                found.least,
                &threads[thread],
                &contents[thread],
            )?;
        }
        if included >= excluded {
            return Err(format!("version {excluded} is missing, but {included} is there"));
        }
        self.figures.acknowledged += reports.len() as u64;
        *(if ended { &mut self.figures.ends } else { &mut self.figures.kills }) += 1;
        self.figures.checkpoints += u64::from(
            db.stats().map_err(|error| format!("has no figures: {error}"))?.log_address > 4096,
        );
        std::mem::swap(&mut self.before, &mut contents);
        db.close().map_err(|error| format!("does not close: {error}"))
    }

    /// The versions that each thread was told, by the number of the write. No version may be an old one.
    fn sort(&mut self, reports: &[Report]) -> Result<Vec<Vec<u64>>, String> {
        let mut threads = vec![Vec::new(); usize::from(THREADS)];
        let mut seen = HashSet::new();
        let mut highest = self.highest;
        for report in reports {
            let versions = &mut threads[usize::from(report.thread)];
            if versions.len() != report.number as usize {
                return Err(format!("thread {} reports out of order", report.thread));
            }
            versions.push(report.version);
            if report.version > 0 {
                if report.version <= self.highest || !seen.insert(report.version) {
                    return Err(format!("version {} is given twice", report.version));
                }
                highest = highest.max(report.version);
            }
        }
        self.highest = highest;
        Ok(threads)
    }

    /// Finds how many of a thread's writes make what its keys hold, of `reported` acknowledged ones and the one after.
    fn prefix(
        &self,
        run: u32,
        thread: u8,
        reported: u32,
        found: &Contents,
        ended: bool,
    ) -> Result<Found, String> {
        let mut state = self.before[usize::from(thread)].clone();
        let differs = |state: &Contents, key: &[u8]| state.get(key) != found.get(key);
        let keys: HashSet<&[u8]> = state.keys().chain(found.keys()).map(Vec::as_slice).collect();
        let mut differing = keys.iter().filter(|key| differs(&state, key)).count();
        drop(keys);
        let mut matches = Vec::new();
        let mut promised = 0;
        for number in 0..=reported {
            if differing == 0 {
                matches.push(number);
            }
            let step = step(self.seed, run, thread, number);
            if number < reported && (ended || step.durability != Durability::Buffered) {
                promised = number + 1;
            }
            let before = differs(&state, &step.key);
            match step.value {
                Some(value) => drop(state.insert(step.key.clone(), value)),
                None => drop(state.remove(&step.key)),
            }
            differing = differing - usize::from(before) + usize::from(differs(&state, &step.key));
        }
        // The write that was under way may be there, too.
        if differing == 0 && !ended {
            matches.push(reported + 1);
        }
        let most = matches.last().copied().ok_or_else(|| {
            format!("thread {thread}: what is there is no prefix of its {reported} writes")
        })?;
        if most < promised {
            return Err(format!(
                "thread {thread}: {most} writes are there, {promised} were promised"
            ));
        }
        Ok(Found { least: matches[0], most })
    }

    /// Every value that this run has put stands under the version that the writer was told.
    fn versions(
        &self,
        db: &Db,
        run: u32,
        thread: u8,
        there: u32,
        versions: &[u64],
        found: &Contents,
    ) -> Result<(), String> {
        let mut last = BTreeMap::new();
        for number in 0..there.min(versions.len() as u32) {
            last.insert(
                step(self.seed, run, thread, number).key,
                (number, versions[number as usize]),
            );
        }
        if there as usize > versions.len() {
            // The write that was under way: nobody was told its version.
            last.remove(&step(self.seed, run, thread, versions.len() as u32).key);
        }
        for (key, (number, version)) in last.into_iter().filter(|(key, _)| found.contains_key(key))
        {
            let read = db.default_tree().get_with_version(&key);
            let read = read.map_err(|error| format!("cannot be read: {error}"))?;
            let read = read.map_or(0, |(_, version)| version.get());
            if read != version {
                let key = String::from_utf8_lossy(&key);
                return Err(format!(
                    "{key} has version {read}, write {number} of {} was told {version}",
                    versions.len()
                ));
            }
        }
        Ok(())
    }

    /// Whether too little was done to prove anything.
    pub(crate) fn is_empty_handed(&self) -> bool {
        self.figures.kills < 3 || self.figures.acknowledged < 1000
    }

    pub(crate) fn figures(&self) -> String {
        let Figures { kills, ends, acknowledged, lost, checkpoints } = self.figures;
        format!(
            "{kills} kills and {ends} orderly ends, {acknowledged} acknowledged writes, all of them found but \
             {lost} buffered puts of the last moments; {checkpoints} openings went out from a checkpoint"
        )
    }
}

/// What each thread's keys hold.
fn split(db: &Db) -> Result<Vec<Contents>, String> {
    let mut contents = vec![Contents::new(); usize::from(THREADS)];
    for entry in db.default_tree().scan() {
        let entry = entry.map_err(|error| format!("cannot be listed: {error}"))?;
        let Some((key, value)) = entry.into_record() else {
            return Err("holds a group without a delimiter".to_owned());
        };
        let thread = key.strip_prefix(b"thread-").and_then(|rest| rest.first()).map(|c| c - b'0');
        let Some(contents) = thread.and_then(|thread| contents.get_mut(usize::from(thread))) else {
            return Err(format!(
                "holds a key that nobody wrote: {}",
                String::from_utf8_lossy(&key)
            ));
        };
        contents.insert(key, value);
    }
    Ok(contents)
}
