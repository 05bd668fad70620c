//! Who may have a database open at the same time: tested with a real second process.

#[path = "common/binary.rs"]
mod binary;
#[path = "common/files.rs"]
mod files;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use binary::{failure, holt, success};
use files::files;
use holt_engine::{Db, Error, Holder, Options};

#[test]
fn a_writer_excludes_every_other_process_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = Db::open(&path).unwrap();
    db.default_tree().put(b"key", b"value").unwrap();
    for command in [&["put", "key", "other"][..], &["rm", "key"], &["checkpoint"]] {
        let text = failure(command, &path, 1);
        assert!(text.contains("another process, or this one, has it open"), "{text}");
    }
    for command in [&["get", "key"][..], &["ls"], &["find"], &["stat"], &["verify"]] {
        let text = failure(command, &path, 1);
        assert!(text.contains("another process, or this one, has it open for writing"), "{text}");
    }
    assert_eq!(db.default_tree().get(b"key").unwrap().unwrap(), b"value");
    db.close().unwrap();
    assert_eq!(success(&["get", "key"], &path), "value");
}

#[test]
fn the_lock_ends_with_close_although_other_handles_live() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let tree = db.default_tree();
    db.close().unwrap();
    success(&["put", "key", "value"], directory.path());
    assert!(matches!(tree.get(b"key"), Err(Error::Closed)));
    assert!(matches!(tree.put(b"key", b""), Err(Error::Closed)));
    assert_eq!(success(&["get", "key"], directory.path()), "value");
}

#[test]
fn readers_share_and_exclude_writers() {
    let directory = tempfile::tempdir().unwrap();
    success(&["put", "key", "value"], directory.path());
    let mut read_only = Options::new();
    read_only.read_only(true);
    let one = read_only.open(directory.path()).unwrap();
    let two = read_only.open(directory.path()).unwrap();
    assert_eq!(success(&["get", "key"], directory.path()), "value");
    let text = failure(&["put", "key", "other"], directory.path(), 1);
    assert!(text.contains("a writer must be alone"), "{text}");
    let error = Db::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { holder: Holder::Anybody, .. }), "{error}");
    drop((one, two));
    success(&["put", "key", "other"], directory.path());
}

#[test]
fn the_lock_of_a_killed_process_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("source"), directory.path().join("db"));
    std::fs::create_dir(&source).unwrap();
    for number in 0..2000 {
        std::fs::write(source.join(number.to_string()), "").unwrap();
    }
    let mut indexing = holt(&["index", "--verbose", source.to_str().unwrap()], &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // More lines follow than the pipe can hold unread, so the process is alive and at work.
    let mut lines = BufReader::new(indexing.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let refused = Db::open(&path);
    indexing.kill().unwrap();
    indexing.wait().unwrap();
    drop(lines);
    assert!(matches!(refused, Err(Error::Locked { holder: Holder::Anybody, .. })), "{refused:?}");
    Db::open(&path).unwrap().close().unwrap();
}

#[test]
fn a_closed_database_can_be_opened_at_once_while_processes_are_started() {
    let directory = tempfile::tempdir().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each has a copy of every descriptor until it runs.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::process::Command::new("true").status().unwrap();
            }
        });
        let opened: Result<Vec<_>, _> =
            (0..300).map(|_| holt_engine::Db::open(directory.path())?.close()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn reading_what_a_killed_process_left_changes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("source"), directory.path().join("db"));
    std::fs::create_dir(&source).unwrap();
    for number in 0..3000 {
        std::fs::write(source.join(format!("{number:0>200}")), "").unwrap();
    }
    // What was only buffered when the process is killed may be lost, all of it on a busy machine.
    let arguments = ["index", "--verbose", "--durability", "os", "--checkpoint-bytes", "50000"];
    let mut indexing = holt(&arguments, &path);
    let mut indexing = indexing.arg(&source).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(indexing.stdout.take().unwrap()).lines();
    for _ in 0..500 {
        lines.next().unwrap().unwrap();
    }
    indexing.kill().unwrap();
    indexing.wait().unwrap();
    drop(lines);

    let before = files(&path);
    let mut options = Options::new();
    let readers: Vec<_> = (0..2).map(|_| options.read_only(true).open(&path).unwrap()).collect();
    let keys = readers[0].default_tree().len().unwrap();
    assert!((1..3000).contains(&keys), "{keys} keys: it was not killed in the middle");
    assert!(readers[1].verify().unwrap().faults.is_empty());
    let last = readers[1].default_tree().last(b"").unwrap().unwrap().into_name();
    let last = String::from_utf8(last).unwrap();
    // Other processes read at the same time.
    for command in [
        &["ls"][..],
        &["find"],
        &["get", &last],
        &["export"],
        &["du"],
        &["tree"],
        &["trees"],
        &["stat"],
        &["log"],
        &["verify"],
    ] {
        // Killed just behind a checkpoint, there is no log to be shown.
        let silent = success(command, &path).is_empty();
        assert!(!silent || command == ["log"], "{command:?}");
    }
    drop(readers);
    assert_eq!(files(&path), before);
}
