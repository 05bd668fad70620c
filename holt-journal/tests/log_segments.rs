//! Segments: made, straddled, recycled, pinned, and missed when they are gone.

mod common;

use std::ops::Range;
use std::sync::Arc;

use common::{DB, fill, numbers, open, publish, put, segments, sim, snapshot};
use holt_codec::{FIRST_ADDRESS, Op, Record};
use holt_journal::disk::{CrashPattern, Disk, Operation, SimDisk, Target};
use holt_journal::{Ack, Damage, Error, recover_log};

#[test]
fn a_record_may_be_longer_than_several_segments() {
    let disk = sim(13);
    let journal = open(&disk);
    let value = vec![0xab; 50_000];
    let record = Record::from(Op::Put { tree: 1, key: b"long", value: &value });
    let reservation = journal.permit(record.encoded_len().unwrap()).unwrap().reserve();
    let end = reservation.end();
    reservation.publish(&record);
    journal.wait(end, Ack::Sync).unwrap();
    let disk = Arc::new(disk.crash(13, CrashPattern::LoseAll));
    let mut seen = 0;
    recover_log::<_, Error>(&disk, DB, FIRST_ADDRESS, &mut |_, found| {
        assert_eq!(found, record);
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn truncation_gives_space_back_and_recycles_and_replay_goes_on_from_there() {
    let disk = sim(16);
    let journal = open(&disk);
    let mut number = 0;
    let mut created = Vec::new();
    for _ in 0..12 {
        for _ in 0..40 {
            put(&journal, number, Ack::Os).unwrap();
            number += 1;
        }
        let (from, first) = (journal.tail(), number);
        journal.wait(from, Ack::Sync).unwrap();
        journal.truncate_below(from).unwrap();
        assert!(disk.list().unwrap().len() <= 8, "{:?}", disk.list().unwrap());
        created.push(disk.count(Target::Only(Operation::Create)));
        put(&journal, number, Ack::Sync).unwrap();
        number += 1;
        let after = Arc::new(disk.kill());
        assert_eq!(numbers(&after, from).unwrap(), (first..number).collect::<Vec<_>>());
    }
    let recycled = disk.count(Target::Named(Operation::Rename, "LOG.tmp"));
    assert!(recycled > 0);
    assert!(created[11] - created[2] < recycled, "files are made anew all the time: {created:?}");
}

fn writes(disk: &SimDisk) -> u64 {
    disk.count(Target::Only(Operation::Write))
}

#[test]
fn what_nobody_syncs_is_written_once() {
    let disk = sim(35);
    let journal = open(&disk);
    let write = |numbers: Range<u64>| {
        for number in numbers {
            publish(&journal, number).unwrap();
            if number % 20 == 19 {
                journal.wait(journal.tail(), Ack::Os).unwrap();
            }
        }
    };
    // Until then, syncs might be frequent.
    write(0..400);
    let (made, written) = (journal.segments().made, writes(&disk));
    write(400..600);
    // For a segment its header, its mark, and one more write of the drain that straddles its end; ten drains, three ends of the
    // ring, and what the maker is at just then.
    let (made, written) = (journal.segments().made - made, writes(&disk) - written);
    assert!(made > 20 && written <= 3 * made + 10 + 3 + 2, "{written} writes, {made} segments");
    drop(journal);
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), (0..600).collect::<Vec<_>>());
}

#[test]
fn what_is_synced_goes_where_zeros_were_written_before() {
    let disk = sim(36);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    let made = journal.segments().made;
    drop(journal);
    // As above, and the zeros: four for a segment, and one for each record.
    assert!(
        made > 5 && writes(&disk) >= 60 + 4 * (made - 1),
        "{} writes, {made} segments",
        writes(&disk)
    );
    assert_eq!(numbers(&disk, FIRST_ADDRESS).unwrap(), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_checkpoint_before_the_first_append_keeps_the_segment_it_needs() {
    let disk = sim(34);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    drop(journal);
    let journal = open(&disk);
    let from = journal.tail();
    journal.wait(from, Ack::Sync).unwrap();
    journal.truncate_below(from).unwrap();
    assert!(numbers(&Arc::new(disk.kill()), from).unwrap().is_empty());
    fill(&journal, 60..100, Ack::Sync);
    journal.truncate_below(from).unwrap();
    let after = Arc::new(disk.crash(34, CrashPattern::LoseAll));
    assert_eq!(numbers(&after, from).unwrap(), (60..100).collect::<Vec<_>>());
}

#[test]
fn a_pinned_address_stays_readable_over_truncations() {
    let disk = sim(17);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    let pin = journal.pin(FIRST_ADDRESS);
    let all: Vec<u64> = (0..60).collect();
    journal.truncate_below(journal.tail()).unwrap();
    assert_eq!(numbers(&Arc::new(disk.kill()), FIRST_ADDRESS).unwrap(), all);
    drop(pin);
    // More segments than are kept for recycling.
    journal.truncate_below(journal.tail()).unwrap();
    assert!(numbers(&Arc::new(disk.kill()), FIRST_ADDRESS).is_err());
}

#[test]
fn every_shortened_segment_is_an_error_that_names_it() {
    let disk = sim(27);
    let journal = open(&disk);
    fill(&journal, 0..60, Ack::Sync);
    drop(journal);
    // One that was made ahead counts like the others: it has its name, so it was whole.
    for name in segments(&disk) {
        let whole = disk.contents(&name).unwrap();
        for len in [0, 100, 4096, whole.len() - 1] {
            let cut = Arc::new(disk.kill());
            cut.put(&name, Some(&whole[..len]));
            match numbers(&cut, FIRST_ADDRESS) {
                Err(Error::Damaged { file, .. }) => assert_eq!(file, name),
                other => panic!("{name} cut to {len}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_log_that_lacks_the_address_it_is_needed_from_is_damaged() {
    let disk = sim(28);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let from = 1 << 30;
    assert!(matches!(
        numbers(&disk, from),
        Err(Error::Damaged { what: Damage::Log(holt_codec::Damage::MissingStart { wanted }), .. })
            if wanted == from
    ));
    assert!(matches!(numbers(&sim(28), 8192), Err(Error::Damaged { .. })));
}

#[test]
fn a_segment_of_a_future_format_is_refused_and_untouched() {
    let disk = sim(30);
    let journal = open(&disk);
    put(&journal, 0, Ack::Sync).unwrap();
    drop(journal);
    let name = segments(&disk).remove(0);
    let mut content = disk.contents(&name).unwrap();
    content[8] = 9;
    disk.put(&name, Some(&content));
    let before = snapshot(&disk);
    assert!(
        matches!(numbers(&disk, FIRST_ADDRESS), Err(Error::Format { file, .. }) if file == name)
    );
    assert_eq!(snapshot(&disk), before);
}
