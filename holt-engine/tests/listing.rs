//! Listings by the rules of object stores, one test a rule, pages against a naive model, and
//! lists beside batches and moves.

mod common;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, listing, names};
use holt_engine::disk::RealDisk;
use holt_engine::{Db, Entry, EntryRef, Error, MAX_KEY, Page, Scan, Tree};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn tree(keys: &[&str]) -> Tree {
    let tree = Db::in_memory().unwrap().default_tree();
    for key in keys {
        tree.put(key.as_bytes(), key.as_bytes()).unwrap();
    }
    tree
}

fn list(scan: Scan) -> Vec<String> {
    names(scan).unwrap().into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
}

fn page(scan: Scan) -> (Vec<String>, bool, Option<String>) {
    let Page { entries, truncated, next, .. } = scan.page().unwrap();
    let text = |name| String::from_utf8(name).unwrap();
    let names = entries.into_iter().map(|entry| text(entry.into_name())).collect();
    (names, truncated, next.map(text))
}

#[test]
fn names_come_in_raw_byte_order() {
    let tree = Db::in_memory().unwrap().default_tree();
    let keys: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"a\xff", b"\xff"];
    for key in keys.iter().rev() {
        tree.put(key, b"").unwrap();
    }
    assert_eq!(names(tree.scan()).unwrap(), keys);
    let mut reversed = keys.to_vec();
    reversed.reverse();
    assert_eq!(names(tree.scan().reverse()).unwrap(), reversed);
}

#[test]
fn the_delimiter_is_looked_for_only_behind_the_prefix() {
    let tree = tree(&["a/b/c/d", "a/b/e", "a/bc/f", "x"]);
    assert_eq!(list(tree.prefix("a/b/").delimiter("/")), ["a/b/c/", "a/b/e"]);
    assert_eq!(list(tree.prefix("a/b").delimiter("/")), ["a/b/", "a/bc/"]);
    assert_eq!(list(tree.prefix("").delimiter("/")), ["a/", "x"]);
    // Not even a delimiter that begins inside the prefix counts.
    assert_eq!(list(tree.prefix("a/b").delimiter("b/")), ["a/b/c/d", "a/b/e", "a/bc/f"]);
}

#[test]
fn a_group_is_told_once_up_to_and_with_its_delimiter() {
    let tree = tree(&["a--1", "a--1--x", "a--2", "a-3", "b--"]);
    assert_eq!(list(tree.scan().delimiter("--")), ["a--", "a-3", "b--"]);
    assert_eq!(list(tree.scan().delimiter("-")), ["a-", "b-"]);
    assert_eq!(list(tree.scan().delimiter("--").reverse()), ["b--", "a-3", "a--"]);
}

#[test]
fn a_key_that_ends_in_the_delimiter_is_a_group_and_one_that_is_the_prefix_a_key() {
    let tree = tree(&["dir/", "dir/sub/"]);
    let entries: Vec<Entry> = tree.scan().delimiter("/").into_iter().map(Result::unwrap).collect();
    assert_eq!(entries, [EntryRef::Group { name: b"dir/" }.to_entry()]);
    let entries: Vec<Entry> =
        tree.prefix("dir/").delimiter("/").into_iter().map(Result::unwrap).collect();
    assert_eq!(entries[0].value(), Some(entries[0].name()));
    assert_eq!(entries[0].name(), b"dir/");
    assert_eq!(entries[1], EntryRef::Group { name: b"dir/sub/" }.to_entry());
}

#[test]
fn every_name_is_strictly_greater_than_what_it_starts_after() {
    let tree = tree(&["a", "b/1", "b/2", "b0", "c"]);
    let after = |name: &str| list(tree.scan().delimiter("/").start_after(name));
    assert_eq!(after(""), ["a", "b/", "b0", "c"]);
    assert_eq!(after("a"), ["b/", "b0", "c"]);
    assert_eq!(after("b"), ["b/", "b0", "c"]);
    // The group that it lies in, or is the name of, is not told again.
    for inside in ["b/", "b/1", "b/15", "b/zzz"] {
        assert_eq!(after(inside), ["b0", "c"], "{inside}");
    }
    assert_eq!(after("c"), [""; 0]);
    // A name before the prefix hides nothing, one behind it everything.
    let below = |name: &str| list(tree.prefix("b/").delimiter("/").start_after(name));
    assert_eq!(below("a"), ["b/1", "b/2"]);
    assert_eq!(below("b/"), ["b/1", "b/2"]);
    assert_eq!(below("b0"), [""; 0]);
    let reversed = list(tree.scan().delimiter("/").start_after("b/1").reverse());
    assert_eq!(reversed, ["c", "b0"]);
}

#[test]
fn every_name_is_strictly_less_than_what_it_starts_before() {
    let tree = tree(&["a", "b/1", "b/2", "b0", "c"]);
    let before = |name: &str| list(tree.scan().delimiter("/").start_before(name));
    assert_eq!(before(""), [""; 0]);
    assert_eq!(before("a"), [""; 0]);
    assert_eq!(before("b"), ["a"]);
    assert_eq!(before("b/"), ["a"]);
    // The group's name is less than each of its keys, be they there or not.
    for inside in ["b/0", "b/1", "b/15", "b/zzz", "b0"] {
        assert_eq!(before(inside), ["a", "b/"], "{inside}");
    }
    assert_eq!(before("d"), ["a", "b/", "b0", "c"]);
    let below = |name: &str| list(tree.prefix("b/").delimiter("/").start_before(name));
    assert_eq!(below("b/2"), ["b/1"]);
    assert_eq!(below("b0"), ["b/1", "b/2"]);
    assert_eq!(below("a"), [""; 0]);
    // Both sides at once, and a range.
    let between = tree.scan().delimiter("/").start_after("a").start_before("c").reverse();
    assert_eq!(list(between), ["b0", "b/"]);
    let range = tree.range("b/2"..="b0").delimiter("/").start_before("b/1").reverse();
    assert_eq!(list(range), ["b/"]);
    let long = vec![0; MAX_KEY + 1];
    let refused = tree.scan().start_before(long).into_iter().next();
    assert!(matches!(refused, Some(Err(Error::KeyTooLong { .. }))));
}

#[test]
fn a_page_that_is_exactly_full_is_not_truncated() {
    let tree = tree(&["a", "b/1", "b/2", "c"]);
    let scan = || tree.scan().delimiter("/");
    let all = ["a", "b/", "c"].map(str::to_owned).to_vec();
    assert_eq!(page(scan().limit(3)), (all.clone(), false, None));
    assert_eq!(page(scan().limit(4)), (all.clone(), false, None));
    assert_eq!(page(scan()), (all, false, None));
    // A group counts as one entry, and is what the next page starts after.
    let two = ["a", "b/"].map(str::to_owned).to_vec();
    assert_eq!(page(scan().limit(2)), (two, true, Some("b/".to_owned())));
    let rest = vec!["c".to_owned()];
    assert_eq!(page(scan().limit(2).start_after("b/")), (rest, false, None));
    // In reverse the next page starts before it.
    let back = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let pages = || scan().limit(2).reverse();
    assert_eq!(page(pages()), (back(&["c", "b/"]), true, Some("b/".to_owned())));
    assert_eq!(page(pages().start_before("b/")), (back(&["a"]), false, None));
    assert_eq!(page(scan().limit(3).reverse()), (back(&["c", "b/", "a"]), false, None));
}

#[test]
fn a_page_of_limit_0_is_empty_and_not_truncated() {
    let db = Db::in_memory().unwrap();
    let tree = db.create_tree("t").unwrap();
    tree.put(b"a", b"").unwrap();
    assert_eq!(tree.scan().limit(0).page().unwrap(), Page::default());
    assert!(names(tree.scan().limit(0)).unwrap().is_empty());
    assert_eq!(tree.scan().limit(0).visit(|_| ControlFlow::Break(())).unwrap(), None);
    // What is wrong is wrong, however little is asked for.
    let wrong = tree.scan().delimiter("").limit(0).page();
    assert!(matches!(wrong, Err(Error::EmptyDelimiter)));
    db.drop_tree("t").unwrap();
    assert!(matches!(tree.scan().limit(0).page(), Err(Error::TreeDropped)));
    db.close().unwrap();
    assert!(matches!(tree.scan().limit(0).page(), Err(Error::Closed)));
}

#[test]
fn keys_only_leaves_the_values_away() {
    let tree = tree(&["a", "b"]);
    for entry in tree.scan().keys_only() {
        assert_eq!(entry.unwrap().value(), Some(&b""[..]));
    }
    let page = tree.scan().page().unwrap();
    assert_eq!(page.entries[1].value(), Some(&b"b"[..]));
}

#[test]
fn a_visitor_sees_what_an_iterator_gives_and_stops_when_it_likes() {
    let tree = tree(&["a", "b/1", "b/2", "c", "d"]);
    let mut seen = Vec::new();
    let broke = tree.scan().delimiter("/").visit(|entry| {
        seen.push(entry.to_entry());
        // It may use the database.
        tree.put(b"a", b"new").unwrap();
        if entry.name() == b"c" { ControlFlow::Break("at c") } else { ControlFlow::Continue(()) }
    });
    assert_eq!(broke.unwrap(), Some("at c"));
    let names: Vec<_> = seen.iter().map(Entry::name).collect();
    assert_eq!(names, [&b"a"[..], b"b/", b"c"]);
    assert_eq!((seen[0].value(), seen[1].value()), (Some(&b"a"[..]), None));
    let mut count = 0;
    let all = tree.scan().limit(3).visit(|_| {
        count += 1;
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((all.unwrap(), count), (None, 3));
    let nothing = |_: holt_engine::EntryRef<'_>| ControlFlow::<()>::Continue(());
    let reversed = tree.range("b".."a").visit(nothing);
    assert!(matches!(reversed, Err(Error::ReversedBounds)));
    assert!(matches!(tree.range("b".."a").page(), Err(Error::ReversedBounds)));
}

const DELIMITERS: &[&[u8]] = &[b"/", b"a", b"//", b"/a", b"\xff", b"\0"];

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&[0, b'.', b'/', b'0', b'a', 0xFF][..]), 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pages_backward_by_the_last_name_give_each_entry_once(
        keys in vec(key(), 0..60),
        prefix in vec(select(&[b'/', b'a', 0xFF][..]), 0..3),
        delimiter in option::of(select(DELIMITERS)),
        start_after in option::of(key()),
        start_before in option::of(key()),
        limit in 1..9_u64,
    ) {
        let tree: Tree<RealDisk> = Db::in_memory().unwrap().default_tree();
        let mut model = Model::new();
        for key in keys {
            tree.put(&key, &key).unwrap();
            model.insert(key.clone(), key);
        }
        let mut expected = listing(&model, &prefix, delimiter, start_after.as_deref());
        expected.retain(|name| start_before.as_ref().is_none_or(|before| name < before));
        let scan = |before: Option<&[u8]>| {
            let mut scan = tree.prefix(&prefix);
            if let Some(before) = before {
                scan = scan.start_before(before);
            }
            if let Some(after) = &start_after {
                scan = scan.start_after(after);
            }
            // Which comes first makes no difference.
            delimiter.into_iter().fold(scan, Scan::delimiter)
        };
        prop_assert_eq!(&names(scan(start_before.as_deref())).unwrap(), &expected);
        expected.reverse();
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut before = start_before.clone();
        for number in 0.. {
            let page = scan(before.as_deref()).reverse().limit(limit).page().unwrap();
            prop_assert!(page.entries.len() as u64 <= limit && number < 64);
            found.extend(page.entries.into_iter().map(Entry::into_name));
            prop_assert_eq!(page.truncated, page.next.is_some());
            prop_assert_eq!(page.truncated, found.len() < expected.len());
            if page.next.is_none() {
                break;
            }
            prop_assert_eq!(page.next.as_ref(), found.last());
            before = page.next;
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn pages_by_the_last_name_give_each_entry_once(
        keys in vec(key(), 0..60),
        prefix in vec(select(&[b'/', b'a', 0xFF][..]), 0..3),
        delimiter in option::of(select(DELIMITERS)),
        start_after in option::of(key()),
        limit in 1..9_u64,
        keys_only: bool,
    ) {
        let tree: Tree<RealDisk> = Db::in_memory().unwrap().default_tree();
        let mut model = Model::new();
        for key in keys {
            tree.put(&key, &key).unwrap();
            model.insert(key.clone(), key);
        }
        let expected = listing(&model, &prefix, delimiter, start_after.as_deref());
        let scan = |after: Option<&[u8]>| {
            let mut scan = tree.prefix(&prefix);
            if let Some(delimiter) = delimiter {
                scan = scan.delimiter(delimiter);
            }
            if let Some(after) = after {
                scan = scan.start_after(after);
            }
            if keys_only {
                scan = scan.keys_only();
            }
            scan
        };
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut after = start_after;
        for number in 0.. {
            let page = scan(after.as_deref()).limit(limit).page().unwrap();
            prop_assert!(page.entries.len() as u64 <= limit);
            for entry in &page.entries {
                match entry.as_ref() {
                    EntryRef::Record { key, value, .. } => {
                        prop_assert_eq!(value, if keys_only { &[][..] } else { key });
                    }
                    EntryRef::Group { name } => prop_assert!(name.ends_with(delimiter.unwrap())),
                    _ => prop_assert!(false),
                }
            }
            found.extend(page.entries.into_iter().map(Entry::into_name));
            prop_assert_eq!(page.truncated, page.next.is_some());
            prop_assert_eq!(page.truncated, found.len() < expected.len());
            prop_assert!(number < 64, "paging goes on for ever");
            match page.next {
                Some(next) => {
                    prop_assert_eq!(Some(&next), found.last());
                    after = Some(next);
                }
                None => break,
            }
        }
        prop_assert_eq!(&found, &expected);
        // The visitor and the iterator tell the same, in both directions.
        let mut visited: Vec<Vec<u8>> = Vec::new();
        let whole = scan(None).visit(|entry| {
            visited.push(entry.name().to_vec());
            ControlFlow::<()>::Continue(())
        });
        prop_assert!(whole.unwrap().is_none());
        prop_assert_eq!(&visited, &listing(&model, &prefix, delimiter, None));
        let mut reversed = names(scan(None).reverse()).unwrap();
        reversed.reverse();
        prop_assert_eq!(reversed, visited);
    }
}

/// Batches change the first, a middle and the last key together; each list is longer than a
/// cursor reads at a time.
#[test]
fn a_scan_sees_each_batch_and_each_move_whole_or_not_at_all() {
    let db = Db::in_memory().unwrap();
    let tree = db.default_tree();
    for n in 0..3_000 {
        tree.put(format!("m/{n:04}").as_bytes(), b"stays").unwrap();
    }
    let ends: [&[u8]; 3] = [b"a", b"m/1500-", b"z"];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0..3_000_u32 {
                db.atomic(|batch| {
                    ends.iter().try_for_each(|key| batch.put(&tree, key, &turn.to_be_bytes()))
                })
                .unwrap();
                let (from, to) = if turn % 2 == 0 { ("m/2", "n/2") } else { ("n/2", "m/2") };
                let _ = tree.rename_prefix(from.as_bytes(), to.as_bytes()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut last = None;
        while !done.load(Ordering::Relaxed) {
            let (mut stays, mut seen) = (0, Vec::new());
            for entry in tree.scan() {
                let entry = entry.unwrap();
                match entry.value() {
                    Some(b"stays") => stays += 1,
                    value => seen.push(value.map(<[u8]>::to_vec)),
                }
            }
            assert_eq!(stays, 3_000);
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
            assert!(seen.is_empty() || seen.len() == ends.len(), "{seen:?}");
            let first = seen.into_iter().next().flatten();
            assert!(first >= last, "{first:?} after {last:?}");
            last = first;
        }
        writer.join().unwrap();
    });
}
