//! The structural invariants of trees and their pool, all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use crate::error::Error;
use crate::frame::Target;
use crate::frame::check::{Outside, check};
use crate::frame::copy::entries;
use crate::pool::gate::Closed;
use crate::pool::{FrameId, Pool};

/// Something that must not be.
///
/// # Examples
///
/// ```
/// let map = holt_art::Art::new()?;
/// map.put(b"key", b"value")?;
/// let faults: Vec<holt_art::Fault> = map.verify();
/// assert!(faults.is_empty());
/// # Ok::<(), holt_art::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The object: a frame's number, or a blob's number plus 2³².
    pub object: u64,
    /// What is wrong with it, in words.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "object {:#x}: {}", self.object, self.what)
    }
}

impl Pool {
    /// Checks every frame and blob: that frames are sound, that every entry has exactly one
    /// crossing, that all is reachable from `roots` and nothing else is there, and that
    /// every slot, blob and page is in use, kept for a cut or snapshot that needs it, or free.
    /// Absent frames are read from the source and not kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    /// let map = Art::new()?;
    /// map.put(b"k", b"v")?;
    /// assert_eq!(map.verify(), []);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn verify(&self, closed: &Closed<'_>, roots: &[FrameId]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |object: u64, what: String| faults.push(Fault { object, what });
        let mut owners: BTreeMap<(u32, u16), usize> = BTreeMap::new();
        let mut blobs: BTreeMap<u32, usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut pending: Vec<u32> = roots.iter().map(|root| root.0).collect();
        for root in roots {
            *owners.entry((root.0, 0)).or_default() += 1;
        }
        let mut occupied = BTreeSet::new();
        while let Some(number) = pending.pop() {
            if !seen.insert(number) {
                continue;
            }
            let looked = self.with_frame(number, |view| {
                let found: Vec<_> =
                    entries(view).map(|(index, e)| (index as u16, e.root.is_null())).collect();
                check(view, number).map(|outside| (outside, found))
            });
            let (Outside { crossings, blobs: found }, inside) = match looked {
                Ok(Ok(looked)) => looked,
                Ok(Err(what)) => {
                    fault(u64::from(number), what);
                    continue;
                }
                Err(Error::MissingFrame { .. }) => {
                    fault(u64::from(number), "it is referred to and does not exist".into());
                    continue;
                }
                Err(error) => {
                    fault(u64::from(number), error.to_string());
                    continue;
                }
            };
            occupied.extend(inside.iter().map(|&(index, _)| (number, index)));
            let root_only = roots.iter().any(|root| root.0 == number);
            for (index, empty) in inside {
                if empty && !(root_only && index == 0) {
                    fault(u64::from(number), format!("entry {index} is empty"));
                }
            }
            for Target { frame, entry } in crossings {
                *owners.entry((frame, entry)).or_default() += 1;
                pending.push(frame);
            }
            for (blob, length) in found {
                *blobs.entry(blob).or_default() += 1;
                if self.blobs.length(blob) != Some(length) {
                    let object = crate::pool::blobs::BLOB_OBJECT | u64::from(blob);
                    fault(object, format!("a leaf says that it has {length} bytes"));
                }
            }
        }
        for (&(frame, entry), &count) in &owners {
            if count != 1 {
                fault(u64::from(frame), format!("entry {entry} has {count} owners"));
            }
            if seen.contains(&frame) && !occupied.contains(&(frame, entry)) {
                fault(u64::from(frame), format!("entry {entry} is referred to and not in use"));
            }
        }
        for &(frame, entry) in &occupied {
            if !owners.contains_key(&(frame, entry)) {
                fault(u64::from(frame), format!("entry {entry} has no owner"));
            }
        }
        self.audit(closed, &seen, &blobs, &mut fault);
        faults
    }
}

impl Tree {
    /// How many crossings lead from the root to a record, on average: each costs a get the
    /// same again as the first frame. Cost by frames; exact while nobody writes.
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_art::Art;
    /// let map = Art::new()?;
    /// map.put(b"k", b"v")?;
    /// assert_eq!(map.tree().mean_crossings(), 0.0);
    /// # Ok::<(), holt_art::Error>(())
    /// ```
    pub fn mean_crossings(&self) -> f64 {
        let (mut keys, mut crossings) = (0u64, 0u64);
        let mut seen = BTreeSet::from([(self.root, 0)]);
        let mut pending = vec![(Target { frame: self.root, entry: 0 }, 0u64)];
        while let Some((at, depth)) = pending.pop() {
            let entry = usize::from(at.entry);
            let looked = self.pool.with_frame(at.frame, |view| {
                (view.entry(entry).keys as u64, super::run::entry_targets(view, entry))
            });
            let Ok((below, targets)) = looked else { continue };
            keys += below;
            crossings += below * depth;
            for target in targets {
                if seen.insert((target.frame, target.entry)) {
                    pending.push((target, depth + 1));
                }
            }
        }
        crossings as f64 / keys.max(1) as f64
    }
}
