//! The segments of a log in order, and how the log runs through them.
//!
//! * A *run* is a row of segments, each starting where the one before ends. Within a run the bytes are one stream.
//! * Between two runs the log jumps: from the end that the later one declares to the start of the later one. What
//!   lies between is not part of the log.
//! * Segments wholly below the address from which the log is needed are left out, whatever is in them.

use crate::error::Damage;
use crate::{DbId, Error, FIRST_ADDRESS, SegmentHeader};

/// One segment and the position that the source knows it by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) header: SegmentHeader,
    pub(super) source: usize,
}

/// A row of segments without a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Address of its first byte.
    pub(super) start: u64,
    /// Address behind its last byte.
    pub(super) end: u64,
    /// Where the log ends in it and goes on, if a later run says so.
    pub(super) jump: Option<Jump>,
}

/// Where the log leaves a run for the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The needed segments of a log, checked against each other.
#[derive(Debug)]
pub(super) struct Chain {
    /// In the order of their addresses.
    links: Vec<Link>,
    /// In the order of their addresses.
    runs: Vec<Run>,
}

impl Chain {
    /// Puts segments, in any order, in a row that holds the log of `db` from the address `from` on.
    pub(super) fn new(db: DbId, segments: Vec<SegmentHeader>, from: u64) -> Result<Chain, Error> {
        let mut links: Vec<Link> = segments
            .into_iter()
            .enumerate()
            .map(|(source, header)| Link { header, source })
            .collect();
        links.sort_by_key(|link| link.header.start);
        let missing = Error::Damaged {
            address: from,
            segment: 0,
            offset: 0,
            damage: Damage::MissingStart { wanted: from },
        };
        let first = match links.iter().rposition(|link| link.header.start <= from) {
            Some(first) => first,
            // Only a log that was never written to may have no segment at all.
            None if links.is_empty() && from == FIRST_ADDRESS => 0,
            None => return Err(missing),
        };
        links.drain(..first);
        if let Some(link) = links.iter().find(|link| link.header.db != db) {
            return Err(damaged(&link.header, link.header.start, Damage::ForeignDatabase));
        }
        let runs = runs(&links)?;
        if let Some(run) = runs.first()
            && from > run.jump.map_or(run.end, |jump| jump.from)
        {
            return Err(missing);
        }
        Ok(Chain { links, runs })
    }

    pub(super) fn run(&self, index: usize) -> Option<Run> {
        self.runs.get(index).copied()
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Address behind the last segment: where the next one can start.
    pub(super) fn end(&self) -> u64 {
        self.links.last().map_or(FIRST_ADDRESS, |link| link.header.end())
    }

    /// The segment that holds the byte at `address`, or that it ends.
    pub(super) fn at(&self, address: u64) -> Option<&Link> {
        let behind = self.links.partition_point(|link| link.header.start <= address);
        let link = self.links.get(behind.checked_sub(1)?)?;
        (address <= link.header.end()).then_some(link)
    }

    /// The error that there is damage at `address`.
    pub(super) fn damaged(&self, address: u64, damage: Damage) -> Error {
        match self.at(address) {
            Some(link) => damaged(&link.header, address, damage),
            None => Error::Damaged { address, segment: 0, offset: 0, damage },
        }
    }
}

fn damaged(header: &SegmentHeader, address: u64, damage: Damage) -> Error {
    Error::Damaged { address, segment: header.start, offset: header.file_offset(address), damage }
}

fn runs(links: &[Link]) -> Result<Vec<Run>, Error> {
    let mut runs: Vec<Run> = Vec::new();
    for Link { header, .. } in links {
        let Some(last) = runs.last_mut() else {
            runs.push(Run { start: header.start, end: header.end(), jump: None });
            continue;
        };
        if header.start < last.end {
            return Err(damaged(header, header.start, Damage::Overlap));
        }
        if header.flows_on() {
            if header.start != last.end {
                return Err(damaged(header, header.start, Damage::MissingSegment));
            }
            last.end = header.end();
            continue;
        }
        let end = header.predecessor_end;
        // A full run never ends a log, see `SEGMENT_RESERVE`.
        if end < last.start || end >= last.end {
            return Err(damaged(header, header.start, Damage::ImpossibleEnd { end }));
        }
        last.jump = Some(Jump { from: end, to: header.start });
        runs.push(Run { start: header.start, end: header.end(), jump: None });
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DB: DbId = DbId([1; 16]);

    fn segment(start: u64, window: u64, predecessor_end: u64) -> SegmentHeader {
        SegmentHeader { db: DB, salt: start, start, window, predecessor_end }
    }

    fn verdict(segments: &[SegmentHeader], from: u64) -> Option<Damage> {
        match Chain::new(DB, segments.to_vec(), from) {
            Ok(_) => None,
            Err(Error::Damaged { damage, .. }) => Some(damage),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_way_in_which_segments_fail_to_fit_is_told_apart() {
        let (a, b) = (segment(4096, 8192, 4096), segment(12288, 8192, 12288));
        let c = segment(28672, 4096, 12000);
        let torn = segment(28672, 4096, 12304);
        let cases: &[(&str, &[SegmentHeader], u64, Option<Damage>)] = &[
            ("nothing, and nothing needed", &[], 4096, None),
            (
                "nothing, and something needed",
                &[],
                8192,
                Some(Damage::MissingStart { wanted: 8192 }),
            ),
            ("one run of two, in any order", &[b, a], 4096, None),
            ("the first is missing", &[b], 4096, Some(Damage::MissingStart { wanted: 4096 })),
            ("the first is not needed", &[b], 12288, None),
            (
                "the middle is missing",
                &[a, segment(20480, 4096, 20480)],
                4096,
                Some(Damage::MissingSegment),
            ),
            ("two at one place", &[a, segment(8192, 4096, 8192)], 4096, Some(Damage::Overlap)),
            ("a jump from the second of a run", &[a, b, torn], 4096, None),
            ("a jump from the first of a run of two", &[a, b, c], 4096, None),
            (
                "a jump from before the run",
                &[b, segment(28672, 4096, 8192)],
                12288,
                Some(Damage::ImpossibleEnd { end: 8192 }),
            ),
            (
                "a jump from a full run",
                &[a, segment(28672, 4096, 12288)],
                4096,
                Some(Damage::ImpossibleEnd { end: 12288 }),
            ),
            ("needed from the end that is declared", &[a, b, torn], 12304, None),
            (
                "needed from behind the end that is declared",
                &[a, b, torn],
                12312,
                Some(Damage::MissingStart { wanted: 12312 }),
            ),
            (
                "needed from behind everything",
                &[a],
                12296,
                Some(Damage::MissingStart { wanted: 12296 }),
            ),
            (
                "another database's",
                &[SegmentHeader { db: DbId([2; 16]), ..a }],
                4096,
                Some(Damage::ForeignDatabase),
            ),
            (
                "another database's, not needed",
                &[SegmentHeader { db: DbId([2; 16]), ..a }, b],
                12288,
                None,
            ),
        ];
        for (name, segments, from, expected) in cases {
            assert_eq!(&verdict(segments, *from), expected, "{name}");
        }
    }
}
