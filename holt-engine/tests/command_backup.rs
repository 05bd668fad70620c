//! Backups and archives with the `holt` command.

#[path = "common/binary.rs"]
mod binary;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use binary::{failure, holt, success};
use holt_engine::{Db, Durability, Options};

/// A database of two trees at `path`.
fn fill(path: &Path) {
    let db = Options::new().keep_log_bytes(1 << 20).open(path).unwrap();
    db.default_tree().put(b"etc/motd", b"hello").unwrap();
    db.tree("users").unwrap().put(b"alice", &[0, 255]).unwrap();
    db.close().unwrap();
}

fn value(path: &Path, tree: &str, key: &str) -> Option<Vec<u8>> {
    Db::open(path).unwrap().open_tree(tree).unwrap().get(key.as_bytes()).unwrap()
}

#[test]
fn a_backup_is_made_added_to_and_restored() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let backup = at("backup");
    let backup = backup.to_str().unwrap();
    fill(&at("db"));
    let text = failure(&["backup", "--changes", backup], &at("db"), 1);
    assert!(text.contains("there is no backup here"), "{text}");
    assert!(success(&["backup", backup], &at("db")).contains(": 2 records, "));
    Db::open(at("db")).unwrap().default_tree().put(b"new", b"1").unwrap();
    let added = success(&["backup", "--changes", "--json", backup], &at("db"));
    let added: serde_json::Value = added.parse().unwrap();
    assert_eq!(added["records"], 1);
    let text = success(&["restore", backup], &at("again"));
    assert!(text.ends_with(": 5 records of 2 archives\n"), "{text}");
    assert!(success(&["verify"], &at("again")).starts_with("sound"));
    assert_eq!(value(&at("again"), "users", "alice"), Some(vec![0, 255]));
    assert_eq!(value(&at("again"), "default", "new"), Some(b"1".to_vec()));
    let text = failure(&["restore", backup], &at("again"), 1);
    assert!(text.contains("there is a database here already"), "{text}");
    let text = failure(&["backup", backup], &at("again"), 1);
    assert!(text.contains("not the right archive"), "{text}");
}

#[test]
fn a_database_that_another_process_writes_is_backed_up_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let backup = at("backup");
    let backup = backup.to_str().unwrap();
    // This process is the other one.
    let db = Options::new().keep_log_bytes(1 << 20).open(at("db")).unwrap();
    let tree = db.default_tree();
    tree.put_with(b"a", b"1", Durability::Os).unwrap();
    assert!(success(&["backup", backup], &at("db")).contains(": 1 record, "));
    tree.put_with(b"b", b"2", Durability::Os).unwrap();
    db.checkpoint().unwrap();
    tree.put_with(b"c", b"3", Durability::Os).unwrap();
    let added = success(&["backup", "--changes", "--json", backup], &at("db"));
    assert_eq!(added.parse::<serde_json::Value>().unwrap()["records"], 2);
    // Other commands say who is in the way.
    let text = failure(&["ls"], &at("db"), 1);
    assert!(text.contains("the database is in use"), "{text}");
    success(&["restore", backup], &at("again"));
    assert_eq!(value(&at("again"), "default", "c"), Some(b"3".to_vec()));
    tree.put(b"d", b"4").unwrap();
}

#[test]
fn a_restoring_that_is_killed_leaves_all_of_it_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let db = Db::open(at("db")).unwrap();
    for number in 0..4_000_u16 {
        db.default_tree().put(&number.to_be_bytes(), &[7; 100]).unwrap();
    }
    db.backup(at("backup")).unwrap();
    let backup = at("backup");
    let backup = backup.to_str().unwrap();
    let mut interrupted = 0;
    for round in 0..24_u64 {
        let mut restoring = holt(&["restore", backup], &at("new")).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 2));
        restoring.kill().unwrap();
        restoring.wait().unwrap();
        if at("new").exists() {
            let restored = Db::open(at("new")).unwrap();
            assert_eq!(restored.default_tree().len().unwrap(), 4_000, "round {round}");
            restored.close().unwrap();
            fs::remove_dir_all(at("new")).unwrap();
        } else {
            interrupted += 1;
        }
    }
    assert!(interrupted > 0, "the first is killed at once");
    success(&["restore", backup], &at("new"));
    assert!(success(&["verify"], &at("new")).starts_with("sound"));
    let mut left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["backup", "db", "new"]);
}

#[test]
fn an_archive_goes_through_a_file_or_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fill(&at("db"));
    for (arguments, records) in
        [(&["export", "--archive", "--all"][..], 2), (&["export", "--archive", "etc/"], 1)]
    {
        let archive = holt(arguments, &at("db")).output().unwrap();
        assert!(archive.status.success());
        fs::write(at("file"), &archive.stdout).unwrap();
        let copy = at(&format!("copy {records}"));
        let input = Stdio::from(fs::File::open(at("file")).unwrap());
        let imported = holt(&["import", "--archive"], &copy).stdin(input).output().unwrap();
        assert!(imported.status.success());
        assert_eq!(value(&copy, "default", "etc/motd"), Some(b"hello".to_vec()));
        let trees = if records == 2 { vec!["default", "users"] } else { vec!["default"] };
        assert_eq!(Db::open(&copy).unwrap().tree_names().unwrap(), trees);
        let file = at("file");
        let file = file.to_str().unwrap();
        let text = failure(&["import", "--archive", file], &copy, 1);
        assert!(text.contains("already"), "{text}");
        let text = success(&["import", "--archive", "--merge", file], &copy);
        assert!(text.starts_with(&format!("{records} records stored in ")), "{text}");
    }
    let bytes = fs::read(at("file")).unwrap();
    fs::write(at("cut"), &bytes[..bytes.len() - 1]).unwrap();
    let cut = at("cut");
    let text = failure(&["import", "--archive", cut.to_str().unwrap()], &at("new"), 1);
    assert!(text.contains("cut short"), "{text}");
}
