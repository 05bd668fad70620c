//! Where to cut: which entries a frame gives away, and where a spine is broken.

use super::run::Part;
use super::split::MOVE_LIMIT;
use crate::frame::build::item_words;
use crate::frame::node::Node;
use crate::frame::{ENTRIES, FRAME_WORDS, Kind, Loc, Ref, View};

/// A subtree that needs room goes to a neighbour only where that is then lighter by this
/// than the frame was.
const LIGHTER: usize = FRAME_WORDS / 64;

/// What stays in a frame of ascending insertions fills it up to this.
pub(super) const FULL: usize = FRAME_WORDS * 99 / 100;
/// Fewer words are not worth writing a neighbour anew for.
const WORTH_MOVING: usize = FRAME_WORDS / 16;

/// Where insertions come in ascending order, a subtree heavier than this is taken apart where
/// they arrive, so that frames of the pieces can be filled up.
const FINE: usize = FRAME_WORDS / 8;

/// But not into pieces smaller than this on average, each of which costs a crossing and an
/// entry, unless it would leave a large part of a frame empty.
const FINEST: usize = FRAME_WORDS / 128;
/// See [`FINEST`].
const LARGE: usize = FRAME_WORDS / 4;

/// Whether a subtree of so many words is to be taken apart at its root where insertions
/// arrive in ascending order.
pub(super) fn is_coarse(view: View<'_>, root: Ref, words: usize) -> bool {
    if words <= FINE || !root.is_inner() {
        return false;
    }
    let count = Node::read(view, root).count();
    count > 1 && (words > LARGE || words >= count * FINEST)
}

/// Score from which insertions count as ascending.
pub(super) const ASCENDING: usize = 8;

/// The end of a run from which parts are given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Its beginning, to the frame before.
    Before,
    /// Its end, to the frame behind.
    Behind,
}

/// How many parts at the side's end are best given to a neighbour with `live` words, behind how
/// many words the fuller of the two frames would then have.
pub(super) fn best_cut(
    parts: &[Part],
    kept: usize,
    live: usize,
    side: Side,
    ascending: bool,
) -> Option<(usize, usize)> {
    let total: usize = ENTRIES + kept + parts.iter().map(|part| part.words + 1).sum::<usize>();
    let wanted = parts.iter().position(|part| part.wanted.is_some());
    let mut moved = 0;
    let mut best = None;
    if ascending && side == Side::Before {
        // What has come in order is left behind in full frames.
        return fill_up(parts, live, wanted?).map(|count| (0, count));
    }
    for count in 1..parts.len() + usize::from(kept > 0) {
        let index = if side == Side::Before { count - 1 } else { parts.len() - count };
        moved += parts[index].words + 1;
        let (stays, grows) = (total - moved, live + moved);
        if grows > MOVE_LIMIT {
            break;
        }
        // The part that needs room may come to no frame as full as the one that it leaves:
        // it would go back and forth between the two.
        let goes = wanted.is_some_and(|wanted| match side {
            Side::Before => wanted < count,
            Side::Behind => wanted >= parts.len() - count,
        });
        if stays <= MOVE_LIMIT && !(goes && grows + LIGHTER > total) {
            let fuller = stays.max(grows);
            if best.is_none_or(|(least, _)| fuller < least) {
                best = Some((fuller, count));
            }
        }
    }
    best
}

/// How many parts before the one where insertions arrive fill a frame with `live` words up.
fn fill_up(parts: &[Part], live: usize, wanted: usize) -> Option<usize> {
    let sums = parts[..wanted].iter().scan(live, |sum, part| {
        *sum += part.words + 1;
        Some(*sum)
    });
    let filled: Vec<usize> = sums.take_while(|&sum| sum <= FULL).collect();
    (*filled.last()? >= live + WORTH_MOVING).then_some(filled.len())
}

/// How many parts stay when the others go to a fresh frame: half of the words, or, when
/// insertions come in ascending order, all up to where they arrive.
pub(super) fn fresh_cut(parts: &[Part], kept: usize, ascending: usize) -> usize {
    let total: usize = kept + parts.iter().map(|part| part.words + 1).sum::<usize>();
    let least = usize::from(kept == 0);
    if ascending >= ASCENDING
        && let Some(wanted) = parts.iter().position(|part| part.wanted.is_some())
    {
        let right: usize = parts[wanted + 1..].iter().map(|part| part.words + 1).sum();
        let cut = if right * 100 >= total * 8 { wanted + 1 } else { wanted };
        let mut cut = cut.clamp(least, parts.len() - 1);
        // Pulling up has made the table longer: either side must still fit its frame.
        let mut stays: usize =
            ENTRIES + kept + parts[..cut].iter().map(|part| part.words + 1).sum::<usize>();
        while stays > FULL && cut > least {
            cut -= 1;
            stays -= parts[cut].words + 1;
        }
        if 2 * ENTRIES + total - stays <= FULL {
            return cut;
        }
    }
    let mut stays = kept;
    let mut best = (usize::MAX, least);
    for (count, part) in parts.iter().enumerate() {
        if count >= least {
            best = best.min((stays.abs_diff(total - stays), count));
        }
        stays += part.words + 1;
    }
    best.1
}

/// The deepest subtree of a spine that holds about half of its words: where its root is
/// referred to, and the root.
pub(super) fn lower_half(view: View<'_>, root: Ref) -> Option<(Loc, Ref)> {
    let mut weights = vec![0u16; FRAME_WORDS];
    // Post-order: a node's weight is known once those of its children are.
    let mut pending = vec![(root, false)];
    while let Some((item, done)) = pending.pop() {
        let mut weight = item_words(view, item);
        if item.is_inner() {
            let node = Node::read(view, item);
            let below = node
                .places()
                .map(|loc| view.reference(loc))
                .chain((!node.value().is_null()).then_some(node.value()));
            if !done {
                pending.push((item, true));
                pending.extend(below.map(|item| (item, false)));
                continue;
            }
            weight += below.map(|item| usize::from(weights[item.at()])).sum::<usize>();
        }
        weights[item.at()] = weight as u16;
    }
    let total = usize::from(weights[root.at()]);
    let mut best = None;
    let mut at = root;
    while at.is_inner() {
        let node = Node::read(view, at);
        let heaviest = node
            .places()
            .map(|loc| (loc, view.reference(loc)))
            .filter(|(_, child)| child.kind() != Kind::Crossing)
            .max_by_key(|(_, child)| weights[child.at()]);
        let Some((loc, child)) = heaviest else { break };
        // A leaf or node of two words or more has room for the crossing.
        best = Some((loc, child));
        if usize::from(weights[child.at()]) * 2 <= total {
            break;
        }
        at = child;
    }
    best
}
