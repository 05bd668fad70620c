//! The `holt` command as its users meet it: output, exit codes, errors, pipes.

#[path = "common/binary.rs"]
mod binary;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use binary::{failure, holt, stderr, success};
use holt_engine::Db;

/// A small directory tree with one of everything that can be made without privileges.
fn generate(root: &Path) {
    fs::create_dir_all(root.join("bin/empty")).unwrap();
    fs::write(root.join("bin/tool"), "12345").unwrap();
    fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::write(root.join("bin.txt"), "").unwrap();
    symlink("../bin/tool", root.join("bin/link")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd \xff\n\\")), "x").unwrap();
    let times = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5));
    fs::File::options().write(true).open(root.join("bin/tool")).unwrap().set_times(times).unwrap();
}

/// A directory to index and a place for a database, both removed at the end.
fn setting() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("source"), directory.path().join("db"));
    generate(&source);
    (directory, source, path)
}

#[test]
fn an_indexed_tree_can_be_listed_searched_and_looked_up() {
    let (_directory, source, path) = setting();
    let text = success(&["index", source.to_str().unwrap()], &path);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("6 entries, ") && lines[0].ends_with(" records/s"), "{text}");
    assert_eq!(lines[1..], ["6 added, 0 changed, 0 removed, 0 unchanged, 0 unreadable"]);

    assert_eq!(success(&["ls"], &path), "bin.txt\nbin/\nodd \\xFF\\n\\\\\n");
    assert_eq!(success(&["ls", "bin/"], &path), "empty/\nlink\ntool\n");
    assert_eq!(success(&["ls", "bin"], &path), "bin.txt\nbin/\n");
    assert_eq!(success(&["ls", "nothing"], &path), "");
    assert_eq!(success(&["find", "bin/"], &path), "bin/\nbin/empty/\nbin/link\nbin/tool\n");
    assert_eq!(success(&["ls", "-0", "bin/"], &path), "empty/\0link\0tool\0");
    assert_eq!(success(&["find", "--escaped", "odd \\xFF\\n"], &path), "odd \\xFF\\n\\\\\n");

    let long = success(&["ls", "-l", "bin/"], &path);
    let lines: Vec<Vec<_>> = long.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][0], "drwxr-xr-x");
    assert_eq!(lines[1][0], "lrwxrwxrwx");
    assert_eq!(lines[1][6..], ["link", "->", "../bin/tool"]);
    assert_eq!(lines[2][0], "-rwsr-x---");
    assert_eq!(lines[2][3..], ["5", "2001-09-09", "01:46:40", "tool"]);

    let text = success(&["get", "bin/tool"], &path);
    for line in ["kind      file", "mode      4750 -rwsr-x---", "size      5"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.contains("modified  2001-09-09 01:46:40.000000005 UTC"), "{text}");
    assert!(success(&["verify"], &path).starts_with("sound"));
}

#[test]
fn indexing_again_stores_what_changed_and_removes_what_vanished() {
    let (_directory, source, path) = setting();
    let run = |expected: &str| {
        let text = success(&["index", "--verbose", source.to_str().unwrap()], &path);
        let changes: Vec<_> = text.lines().filter(|line| "+~-".contains(&line[..1])).collect();
        assert!(text.trim_end().ends_with(expected), "{text}");
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    run("6 added, 0 changed, 0 removed, 0 unchanged, 0 unreadable");
    assert!(run("0 added, 0 changed, 0 removed, 6 unchanged, 0 unreadable").is_empty());

    success(&["put", "bin/mine", "a value of somebody else"], &path);
    fs::write(source.join("bin/tool"), "123456").unwrap();
    fs::write(source.join("new"), "").unwrap();
    fs::remove_file(source.join("bin.txt")).unwrap();
    assert_eq!(
        run("1 added, 1 changed, 1 removed, 4 unchanged, 0 unreadable"),
        ["- bin.txt", "~ bin/tool", "+ new"]
    );
    assert_eq!(success(&["get", "bin/mine"], &path), "a value of somebody else");

    fs::remove_dir_all(source.join("bin")).unwrap();
    fs::write(source.join("bin"), "now a file").unwrap();
    assert_eq!(
        run("1 added, 0 changed, 4 removed, 2 unchanged, 0 unreadable"),
        ["+ bin", "- bin/", "- bin/empty/", "- bin/link", "- bin/tool"]
    );
    assert_eq!(success(&["find"], &path), "bin\nbin/mine\nnew\nodd \\xFF\\n\\\\\n");
}

#[test]
fn a_database_inside_the_indexed_directory_is_left_out() {
    let (_directory, source, _) = setting();
    let path = source.join("bin/db");
    for _ in 0..2 {
        success(&["index", source.to_str().unwrap()], &path);
        assert_eq!(success(&["ls", "bin/"], &path), "empty/\nlink\ntool\n");
    }
    let text = failure(&["index", path.to_str().unwrap()], &path, 1);
    assert!(text.contains("cannot index"), "{text}");
}

#[test]
fn single_keys_can_be_stored_read_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    assert_eq!(success(&["put", "a/b", "one\ntwo"], &path), "");
    success(&["put", "--escaped", "\\x00\\xFF", "\\x01"], &path);
    success(&["put", "", "the empty key"], &path);
    assert_eq!(success(&["get", "a/b"], &path), "one\ntwo");
    assert_eq!(success(&["get", "-e", "\\x00\\xFF"], &path), "\u{1}");
    assert_eq!(success(&["find"], &path), "\n\\x00\\xFF\na/b\n");
    let long = success(&["ls", "-l"], &path);
    assert_eq!(long.lines().nth(1).unwrap().split_whitespace().last(), Some("a/"), "{long}");

    assert_eq!(success(&["rm", "a/b"], &path), "");
    for command in ["get", "rm"] {
        assert_eq!(failure(&[command, "a/b"], &path, 1), "holt: no such key: a/b\n");
    }
    assert_eq!(success(&["find"], &path), "\n\\x00\\xFF\n");
    success(&["checkpoint"], &path);
    assert_eq!(success(&["find"], &path), "\n\\x00\\xFF\n");
}

#[test]
fn stat_tells_what_there_is() {
    let (_directory, source, path) = setting();
    success(&["index", source.to_str().unwrap()], &path);
    let field = |name: &str| -> String {
        let text = success(&["stat"], &path);
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name}: {text}"))[name.len()..].trim().to_owned()
    };
    assert_eq!(field("keys"), "6");
    assert_eq!(field("last checkpoint"), "none");
    for name in ["frames", "fill", "memory", "disk", "log address"] {
        assert_ne!(field(name), "0", "{name}");
    }
    let text = success(&["checkpoint"], &path);
    assert!(text.starts_with("checkpoint at log address "), "{text}");
    let address = text["checkpoint at log address ".len()..].split(':').next().unwrap();
    assert!(field("last checkpoint").contains(address), "{text}");
}

#[test]
fn errors_are_one_line_and_exit_with_1() {
    let (directory, source, path) = setting();
    for command in [&["get", "x"][..], &["ls"], &["find"], &["rm", "x"], &["stat"], &["verify"]] {
        let text = failure(command, &path, 1);
        assert!(text.contains("there is no database here"), "{text}");
        assert!(!path.exists(), "{command:?} creates nothing");
    }
    let missing = directory.path().join("missing");
    failure(&["index", missing.to_str().unwrap()], &path, 1);
    assert!(!path.exists(), "nothing is created for a directory that is not there");
    let text = failure(&["put", "x", "y"], &source, 1);
    assert!(text.contains("holds no database"), "{text}");
    let text = failure(&["get", "--escaped", "\\q"], &path, 1);
    assert!(text.contains("bad escape"), "{text}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&["nonsense"][..], &["get"], &["ls", "--bogus"]] {
        let output = holt(arguments, Path::new("nowhere")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("Usage"), "{arguments:?}");
    }
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    // More than a pipe holds, so that the command meets the closed end.
    let db = Db::open(&path).unwrap();
    for number in 0..20_000 {
        db.default_tree().put(format!("some/key/{number:08}").as_bytes(), b"").unwrap();
    }
    db.close().unwrap();
    let mut child =
        holt(&["find"], &path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "some/key/00000000\n");
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn a_damaged_database_is_told_line_by_line() {
    let (_directory, source, path) = setting();
    success(&["index", source.to_str().unwrap()], &path);
    success(&["checkpoint"], &path);
    let mut damaged = 0;
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap().path();
        let before = fs::read(&file).unwrap();
        // Every byte that is not zero belongs to something that is written down.
        let Some(at) = before.iter().rposition(|byte| *byte != 0) else { continue };
        let mut after = before.clone();
        after[at] ^= 0x10;
        fs::write(&file, &after).unwrap();
        let output = holt(&["verify"], &path).output().unwrap();
        if output.status.code() == Some(1) {
            damaged += 1;
            assert!(!output.stdout.is_empty(), "{}: {}", file.display(), stderr(&output));
            assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        }
        fs::write(&file, before).unwrap();
    }
    assert!(damaged > 0, "no file's damage is noticed");
    assert!(success(&["verify"], &path).starts_with("sound"));
}
