//! Slots and a frame taken ahead of a change, and the moves that use them up.

use super::run::{Part, leads_on};
use crate::error::Error;
use crate::frame::copy::{Placed, append, build, entries};
use crate::frame::{Nature, Target, View};
use crate::pool::{Latched, Pool};

/// Writes what stays of a split frame into its new slot; frees the frame when that is
/// nothing. Without a parent nothing of its run stays.
pub(super) fn settle(
    mut frame: Latched<'_>,
    stays: &[Part],
    kept: &[Placed],
    parent: Option<&Latched<'_>>,
    mut spare: Spare<'_>,
) {
    let view = frame.view();
    let placed = place(stays, kept);
    if placed.is_empty() {
        frame.free();
        return;
    }
    let slot = spare.slots.pop().expect("a slot was taken for what stays");
    let words = spare.pool.slot_words(slot);
    build(view, &placed, words, view.nature(), 0).expect("what stays was counted before");
    if let Some(parent) = parent {
        relink(parent, stays, &placed[kept.len()..], frame.number());
    }
    frame.leave_slot(slot);
}

/// Slots, and for a split a frame, taken ahead of a change; what is left goes back when it
/// is dropped.
pub(super) struct Spare<'p> {
    pool: &'p Pool,
    pub(super) slots: Vec<u32>,
    pub(super) fresh: Option<Latched<'p>>,
}

impl<'p> Spare<'p> {
    /// What a split needs: two slots and a frame.
    pub(super) fn take(pool: &'p Pool) -> Result<Self, Error> {
        let mut spare = Self::slots(pool, 2)?;
        spare.fresh = Some(pool.new_frame(0)?);
        Ok(spare)
    }

    /// Only slots.
    pub(super) fn slots(pool: &'p Pool, count: usize) -> Result<Self, Error> {
        let mut spare = Self { pool, slots: Vec::with_capacity(count), fresh: None };
        for _ in 0..count {
            spare.slots.push(pool.take_slot()?);
        }
        Ok(spare)
    }

    pub(super) fn into_slot_and_frame(mut self) -> (u32, Latched<'p>) {
        let slot = self.slots.pop().expect("two slots were taken");
        (slot, self.fresh.take().expect("a frame was taken"))
    }
}

impl Spare<'_> {
    /// Copies parts of `view` into the fresh frame and points the parent there.
    pub(super) fn move_to_fresh(&mut self, view: View<'_>, moved: &[Part], parent: &Latched<'_>) {
        let fresh = self.fresh.take().expect("a frame was taken");
        let placed = place(moved, &[]);
        let level = if has_crossings(view, moved) { view.nature().level } else { 0 };
        let nature = Nature { level, ..view.nature().below(fresh.number()) };
        // Links first: where the frame is its own parent, the crossing to one part may be
        // in another part, and the copy has to lead to the new place.
        relink(parent, moved, &placed, fresh.number());
        build(view, &placed, fresh.words(), nature, 0).expect("half of a frame fits one");
    }

    /// Copies parts of `view` into a neighbour and points the parent there.
    pub(super) fn move_to_neighbour(
        &mut self,
        view: View<'_>,
        moved: &[Part],
        mut neighbour: Latched<'_>,
        parent: &Latched<'_>,
    ) {
        let fits = "the neighbour's room was counted";
        let own: Vec<Placed> =
            entries(neighbour.view()).map(|(index, e)| Placed { index, root: e.root }).collect();
        let placed = place(moved, &own);
        let new = &placed[own.len()..];
        let table = placed.iter().map(|place| place.index + 1).max().unwrap_or(0);
        let slot = self.slots.pop().expect("two slots were taken");
        let words = self.pool.slot_words(slot);
        build(neighbour.view(), &own, words, neighbour.view().nature(), table).expect(fits);
        append(view, new, words).expect(fits);
        relink(parent, moved, new, neighbour.number());
        neighbour.leave_slot(slot);
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            self.pool.give_slot(slot);
        }
        if let Some(fresh) = self.fresh.take() {
            fresh.discard();
        }
    }
}

/// Whether a crossing is below one of the parts.
fn has_crossings(view: View<'_>, parts: &[Part]) -> bool {
    view.nature().level > 0 && parts.iter().any(|part| leads_on(view, part.root))
}

/// Gives each part a place in a table in which the places of `kept` are taken. The result
/// begins with `kept`.
pub(super) fn place(parts: &[Part], kept: &[Placed]) -> Vec<Placed> {
    let mut taken: Vec<usize> = kept.iter().map(|entry| entry.index).collect();
    taken.sort_unstable();
    let mut taken = taken.into_iter().peekable();
    let mut index = 0;
    let mut placed = kept.to_vec();
    for part in parts {
        while taken.next_if_eq(&index).is_some() {
            index += 1;
        }
        placed.push(Placed { index, root: part.root });
        index += 1;
    }
    placed
}

/// Points the parent's crossings to where the parts are now.
pub(super) fn relink(parent: &Latched<'_>, parts: &[Part], placed: &[Placed], frame: u32) {
    let parent = parent.edit(0);
    for (part, place) in parts.iter().zip(placed) {
        parent.set(part.cell, Target { frame, entry: place.index as u16 }.pack());
    }
}
