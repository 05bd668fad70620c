//! Feeds: all of the log in order, from anywhere in it, while it is written, truncated and opened again.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{DB, fill, open, open_at, options, publish, put, read, segments, sim, value};
use holt_codec::{FIRST_ADDRESS, Op, Record};
use holt_journal::disk::{Access, CrashPattern, Disk, DiskFile, Fault, Operation, Target, Trigger};
use holt_journal::{Ack, Error, Journal, LogFeed, LogOptions};

const LONG: Duration = Duration::from_secs(60);

/// The next record's address and number; its value is checked.
fn next<D: Disk>(feed: &mut LogFeed<D>) -> Result<Option<(u64, u64)>, Error> {
    feed.next_record(|address, record| {
        let Record::Op(Op::Put { key, value: found, .. }) = record else { panic!("{record:?}") };
        let number = u64::from_be_bytes(key.try_into().unwrap());
        assert_eq!(found, value(number));
        (address, number)
    })
}

fn rest<D: Disk>(feed: &mut LogFeed<D>) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| next(feed).unwrap()).collect()
}

fn follow<D: Disk>(journal: &Journal<D>, after: Option<u64>) -> LogFeed<D> {
    LogFeed::follow(journal, after, Ack::Os).unwrap()
}

#[test]
fn a_feed_from_any_address_gives_what_starts_behind_it() {
    let disk = sim(70);
    let journal = open(&disk);
    fill(&journal, 0..20, Ack::Os);
    drop(journal);
    let journal = open(&disk);
    fill(&journal, 20..30, Ack::Sync);
    // The end that the next process finds is not what this one wrote.
    let disk = Arc::new(disk.kill());
    let journal = open(&disk);
    assert_eq!(rest(&mut follow(&journal, None)).len(), 30);
    fill(&journal, 30..40, Ack::Os);
    let all: Vec<_> = read(&disk, FIRST_ADDRESS).unwrap().0.into_iter().collect();
    assert_eq!(all.len(), 40);
    let mut lost = 0;
    for after in (FIRST_ADDRESS - 8..journal.tail()).step_by(8) {
        match LogFeed::follow(&journal, Some(after), Ack::Os) {
            Ok(mut feed) => {
                let expected: Vec<_> =
                    all.iter().copied().filter(|&(address, _)| address > after).collect();
                assert_eq!(rest(&mut feed), expected, "{after}");
            }
            Err(Error::NotInLog { address }) => {
                assert_eq!(address, after);
                assert!(all.iter().all(|&(address, _)| address != after));
                lost += 1;
            }
            Err(error) => panic!("{after}: {error}"),
        }
    }
    assert!(lost > 0, "two processes ended in the middle of a segment");
    for after in [journal.tail(), journal.tail() + 8, 1 << 50] {
        let refused = LogFeed::follow(&journal, Some(after), Ack::Os);
        assert!(matches!(refused, Err(Error::NotInLog { .. })), "{after}");
    }
    // The same of the files alone.
    let end = journal.tail();
    let mut files = LogFeed::of_files(&disk, DB, end, Some(all[9].0)).unwrap();
    assert_eq!(rest(&mut files), all[10..]);
    assert!(!files.wait(LONG).unwrap());
    let refused = LogFeed::of_files(&disk, DB, end, Some(end));
    assert!(matches!(refused, Err(Error::NotInLog { .. })));
}

#[test]
fn a_feed_shows_what_is_as_safe_as_it_says_and_nothing_before() {
    let disk = sim(71);
    let journal = open(&disk);
    let mut feeds = [Ack::Os, Ack::Sync].map(|ack| LogFeed::follow(&journal, None, ack).unwrap());
    let mut seen = |at: usize| rest(&mut feeds[at]).len();
    let (_, end) = publish(&journal, 0).unwrap();
    assert_eq!((seen(0), seen(1)), (0, 0), "in the ring alone");
    journal.wait(end, Ack::Os).unwrap();
    assert_eq!((seen(0), seen(1)), (1, 0));
    journal.wait(end, Ack::Sync).unwrap();
    assert_eq!((seen(0), seen(1)), (0, 1));
}

#[test]
fn a_feed_may_begin_behind_what_is_still_in_memory() {
    let disk = sim(72);
    let journal = open(&disk);
    let (address, end) = publish(&journal, 0).unwrap();
    let mut feed = follow(&journal, Some(address));
    assert!(next(&mut feed).unwrap().is_none());
    journal.wait(end, Ack::Os).unwrap();
    assert!(next(&mut feed).unwrap().is_none(), "it was to begin behind this one");
    let end = put(&journal, 1, Ack::Os).unwrap();
    assert_eq!(rest(&mut feed).len(), 1);
    assert_eq!(feed.passed(), end - 8);
}

#[test]
fn followers_see_every_record_once_while_it_is_written_synced_and_truncated() {
    const RECORDS: u64 = 3000;
    let disk = sim(73);
    let journal = open(&disk);
    let slowest = AtomicU64::new(0);
    thread::scope(|scope| {
        let follower = |ack| {
            let (journal, slowest) = (&journal, &slowest);
            move || {
                let mut feed = LogFeed::follow(journal, None, ack).unwrap();
                let mut expected = 0;
                while expected < RECORDS {
                    assert!(feed.wait(LONG).unwrap(), "woken for nothing, or not at all");
                    while let Some((_, number)) = next(&mut feed).unwrap() {
                        assert_eq!(number, expected);
                        expected += 1;
                        slowest.fetch_max(expected, Ordering::Relaxed);
                    }
                }
            }
        };
        let followers = [Ack::Os, Ack::Sync].map(|ack| scope.spawn(follower(ack)));
        while journal.feeds().open < 2 {
            thread::yield_now();
        }
        for number in 0..RECORDS {
            let ack = if number % 7 == 6 { Ack::Sync } else { Ack::Os };
            let end = put(&journal, number, ack).unwrap();
            if number % 50 == 49 {
                journal.wait(end, Ack::Sync).unwrap();
                journal.truncate_below(end).unwrap();
            }
        }
        journal.wait(journal.tail(), Ack::Sync).unwrap();
        followers.into_iter().for_each(|follower| follower.join().unwrap());
    });
    assert_eq!(journal.feeds().open, 0);
}

#[test]
fn a_feed_holds_its_segments_up_to_its_bound_and_is_cut_off_beyond() {
    let disk = sim(74);
    let bounded = LogOptions { feed_bytes: 64 << 10, ..options() };
    let journal = open_at(&disk, FIRST_ADDRESS, bounded).unwrap();
    fill(&journal, 0..40, Ack::Sync);
    let mut feed = follow(&journal, None);
    assert_eq!(next(&mut feed).unwrap(), Some((FIRST_ADDRESS, 0)));
    journal.truncate_below(journal.tail()).unwrap();
    assert_eq!(journal.feeds().slowest, Some(FIRST_ADDRESS));
    let (_, second) = next(&mut feed).unwrap().unwrap();
    assert_eq!(second, 1, "the log is held for the feed");
    fill(&journal, 40..200, Ack::Sync);
    journal.truncate_below(journal.tail()).unwrap();
    fill(&journal, 200..400, Ack::Sync);
    assert_eq!((journal.feeds().open, journal.feeds().cut_off), (0, 1));
    // What it has in memory may still come, and then the error, each time.
    let error = loop {
        match next(&mut feed) {
            Ok(found) => assert!(found.is_some(), "a feed that is cut off never ends in silence"),
            Err(error) => break error,
        }
    };
    let Error::FeedGone { oldest } = error else { panic!("{error}") };
    assert!(matches!(next(&mut feed), Err(Error::FeedGone { oldest: same }) if same == oldest));
    // From there on everything is there, and from below nothing is.
    let kept = rest(&mut follow(&journal, Some(oldest)));
    assert_eq!(kept, rest(&mut follow(&journal, None)));
    assert!(kept[0].0 > oldest);
    assert_eq!(kept.last().map(|&(_, number)| number), Some(399));
    let refused = LogFeed::follow(&journal, Some(oldest - 8), Ack::Os);
    assert!(matches!(refused, Err(Error::FeedGone { oldest: same }) if same == oldest));
}

#[test]
fn bytes_that_are_kept_below_a_truncation_are_there_after_reopening() {
    let disk = sim(75);
    let kept = LogOptions { keep_bytes: 100_000, ..options() };
    let journal = open_at(&disk, FIRST_ADDRESS, kept.clone()).unwrap();
    fill(&journal, 0..400, Ack::Sync);
    let from = journal.tail();
    journal.truncate_below(from).unwrap();
    let held = |journal: &Journal<_>| {
        let all = rest(&mut follow(journal, None));
        assert!(all.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
        (all[0].0, all[0].1, all.last().unwrap().1)
    };
    let (first, number, last) = held(&journal);
    assert!(number > 0 && last == 399 && from - first >= 100_000 - 2000, "from {first} of {from}");
    drop(journal);
    let journal = open_at(&disk, from, kept).unwrap();
    // Files that waited to be recycled may be there besides.
    let (again, _, end) = held(&journal);
    assert!(again <= first && end == last);
    fill(&journal, 400..420, Ack::Sync);
    journal.truncate_below(journal.tail()).unwrap();
    let (later, _, last) = held(&journal);
    assert!(later > first && last == 419);
}

#[test]
fn a_segment_that_a_crash_left_half_recycled_is_where_the_log_begins() {
    let disk = sim(76);
    let kept = LogOptions { keep_bytes: 1 << 20, ..options() };
    let journal = open_at(&disk, FIRST_ADDRESS, kept.clone()).unwrap();
    fill(&journal, 0..60, Ack::Sync);
    let from = journal.tail();
    journal.truncate_below(from).unwrap();
    drop(journal);
    let names = segments(&disk);
    let [_, half, whole, ..] = &names[..] else { panic!("{names:?}") };
    disk.open(half, Access::ReadWrite).unwrap().write_bytes_at(b"another", 40).unwrap();
    let journal = open_at(&disk, from, kept).unwrap();
    let start = u64::from_str_radix(&whole[4..], 16).unwrap();
    let found = rest(&mut follow(&journal, None));
    assert!(found[0].0 >= start && found[0].0 < start + 2100, "{found:?} from {start}");
    assert_eq!(found.last().unwrap().1, 59);
    let refused = LogFeed::follow(&journal, Some(FIRST_ADDRESS), Ack::Os);
    let Err(Error::FeedGone { oldest }) = refused else { panic!("{refused:?}") };
    assert_eq!(oldest, start.min(found[0].0 - 8));
}

#[test]
fn what_a_crash_takes_is_no_longer_in_the_log() {
    let disk = sim(77);
    let journal = open(&disk);
    fill(&journal, 0..10, Ack::Sync);
    let (lost, _) = publish(&journal, 10).unwrap();
    let disk = Arc::new(disk.crash(77, CrashPattern::LoseAll));
    for write in [false, true] {
        let journal = open(&disk);
        if write {
            fill(&journal, 11..20, Ack::Os);
        }
        let refused = LogFeed::follow(&journal, Some(lost), Ack::Os);
        assert!(matches!(refused, Err(Error::NotInLog { address }) if address == lost));
        let known = rest(&mut follow(&journal, Some(lost - 8)));
        assert_eq!(known.len(), if write { 9 } else { 0 });
    }
}

#[test]
fn a_follower_is_told_when_nothing_will_come_any_more() {
    let disk = sim(78);
    let journal = open(&disk);
    put(&journal, 0, Ack::Os).unwrap();
    let mut feed = follow(&journal, None);
    thread::scope(|scope| {
        let feed = &mut feed;
        let waiting = scope.spawn(move || {
            assert_eq!(rest(feed).len(), 1);
            loop {
                match feed.wait(LONG) {
                    Ok(woken) => assert!(woken && rest(feed).is_empty()),
                    Err(error) => break error,
                }
            }
        });
        journal.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Error::LogClosed));
    });
    let disk = sim(79);
    let journal = open(&disk);
    put(&journal, 0, Ack::Os).unwrap();
    let mut feed = follow(&journal, None);
    disk.inject(Trigger::once(Target::Only(Operation::Write), 0, Fault::Io));
    put(&journal, 1, Ack::Os).unwrap_err();
    assert!(feed.wait(LONG).unwrap(), "what was there before is shown");
    assert_eq!(rest(&mut feed).len(), 1);
    assert!(matches!(feed.wait(LONG), Err(Error::LogFailed(_))));
}
