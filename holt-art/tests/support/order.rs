//! The search for an order of recorded operations that explains their answers.

use std::collections::HashSet;
use std::hash::Hash;

/// An operation between two ticks of a clock that all threads share.
pub(crate) trait Recorded {
    /// What all operations act on.
    type State: Copy + Eq + Hash;

    /// The tick before which it had not begun.
    fn from(&self) -> u32;

    /// The tick at which it was over.
    fn to(&self) -> u32;

    /// What the state is afterwards; `None` when the answer is not that of this state.
    fn step(&self, state: Self::State) -> Option<Self::State>;
}

/// Whether some order that respects what was over before what began explains the events, from
/// this state on.
pub(crate) fn is_explained<E: Recorded>(events: &[E], state: E::State) -> bool {
    explained(events, 0, state, &mut HashSet::new())
}

/// As above, for the events that are not in `done`. Dead ends are kept: which events were
/// done, and the state that they led to.
fn explained<E: Recorded>(
    events: &[E],
    done: u32,
    state: E::State,
    dead: &mut HashSet<(u32, E::State)>,
) -> bool {
    if done.count_ones() as usize == events.len() {
        return true;
    }
    let left = || events.iter().enumerate().filter(|(index, _)| done >> index & 1 == 0);
    // Nothing may come before what was over when it began.
    let horizon = left().map(|(_, event)| event.to()).min().unwrap_or(u32::MAX);
    for (index, event) in left().filter(|(_, event)| event.from() <= horizon) {
        if let Some(next) = event.step(state) {
            let memo = (done | 1 << index, next);
            if dead.contains(&memo) {
                continue;
            }
            if explained(events, memo.0, next, dead) {
                return true;
            }
            dead.insert(memo);
        }
    }
    false
}
