//! The commands that move, remove, measure, draw, import and export keys, and show the log.

#[path = "common/binary.rs"]
mod binary;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use binary::{failure, holt, stderr, success};
use holt_engine::Db;

/// A database with these keys, each with its own name for a value.
fn database(keys: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = Db::open(&path).unwrap();
    for key in keys {
        db.default_tree().put(key.as_bytes(), key.as_bytes()).unwrap();
    }
    db.close().unwrap();
    (directory, path)
}

const KEYS: &[&str] = &["bin", "usr/bin/env", "usr/bin/vi", "usr/lib/", "usr/lib/libc.so", "var"];

#[test]
fn keys_and_directories_get_other_names() {
    let (_directory, path) = database(KEYS);
    success(&["mv", "bin", "sbin"], &path);
    assert_eq!(success(&["get", "sbin"], &path), "bin");
    assert_eq!(failure(&["mv", "bin", "x"], &path, 1), "holt: no such key: bin\n");
    let text = failure(&["mv", "sbin", "var"], &path, 1);
    assert!(text.contains("something of that name already: var (--force replaces it)"), "{text}");
    success(&["mv", "--force", "sbin", "var"], &path);
    assert_eq!(success(&["get", "var"], &path), "bin");

    success(&["mv", "-r", "usr/bin/", "opt/"], &path);
    assert_eq!(success(&["find", "opt/"], &path), "opt/env\nopt/vi\n");
    assert_eq!(
        failure(&["mv", "-r", "usr/bin/", "x/"], &path, 1),
        "holt: no key begins with: usr/bin/\n"
    );
    let text = failure(&["mv", "-r", "opt/", "usr/"], &path, 1);
    assert!(text.contains("something of that name already: usr/"), "{text}");
    let text = failure(&["mv", "-r", "opt/", "opt/more/"], &path, 1);
    assert!(text.contains("begins with the old one"), "{text}");
    success(&["mv", "-rf", "opt/", "usr/"], &path);
    assert_eq!(success(&["find"], &path), "usr/env\nusr/vi\nvar\n");
    success(&["mv", "-e", "usr/env", "\\xFF"], &path);
    assert_eq!(success(&["find"], &path), "usr/vi\nvar\n\\xFF\n");
}

#[test]
fn a_directory_is_removed_as_a_whole() {
    let (_directory, path) = database(KEYS);
    success(&["rm", "-r", "usr/lib/"], &path);
    assert_eq!(success(&["find"], &path), "bin\nusr/bin/env\nusr/bin/vi\nvar\n");
    assert_eq!(
        failure(&["rm", "-r", "usr/lib/"], &path, 1),
        "holt: no key begins with: usr/lib/\n"
    );
    // A variable that is not set, most likely.
    let text = failure(&["rm", "-r", ""], &path, 1);
    assert!(text.contains("--all"), "{text}");
    assert_eq!(holt(&["rm", "--all", "k"], &path).output().unwrap().status.code(), Some(2));
    success(&["rm", "--all"], &path);
    assert_eq!(success(&["find"], &path), "");
    assert!(success(&["verify"], &path).starts_with("sound"));
}

#[test]
fn the_sizes_of_a_level_add_up() {
    let (_directory, path) = database(KEYS);
    let lines = |arguments: &[&str]| -> Vec<Vec<String>> {
        let text = success(arguments, &path);
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let expected = [&["42", "2", "usr/bin/"][..], &["46", "2", "usr/lib/"], &["88", "4", "usr/"]];
    assert_eq!(lines(&["du", "usr/"]), expected);
    assert_eq!(lines(&["du", "-s", "usr/"]), expected[2..]);
    assert_eq!(lines(&["du"]).last().unwrap(), &["100", "6"]);
    let json = success(&["du", "-s", "--json", "usr/"], &path);
    assert_eq!(json, "{\"bytes\":88,\"keys\":4,\"name\":\"usr/\"}\n");
}

#[test]
fn a_tree_is_drawn_level_by_level() {
    let (_directory, path) = database(KEYS);
    let drawn = "\
.
├── bin
├── usr/
│   ├── bin/
│   │   ├── env
│   │   └── vi
│   └── lib/
│       └── libc.so
└── var
";
    assert_eq!(success(&["tree"], &path), drawn);
    assert_eq!(success(&["tree", "usr/lib/"], &path), "usr/lib/\n└── libc.so\n");
    let two = success(&["tree", "-L", "1"], &path);
    assert_eq!(two, ".\n├── bin\n├── usr/\n└── var\n");
}

#[test]
fn what_is_exported_can_be_imported() {
    let (directory, path) = database(KEYS);
    success(&["put", "-e", "odd \\xFF\\n", "\\x00\\xFE"], &path);
    let lines = success(&["export"], &path);
    assert_eq!(lines.lines().count(), 7);
    assert!(lines.contains(r#"{"key":"usr/lib/","value":"usr/lib/"}"#), "{lines}");
    assert!(lines.contains(r#"{"key":{"hex":"6f646420ff0a"},"value":{"hex":"00fe"}}"#), "{lines}");
    assert_eq!(success(&["export", "usr/"], &path).lines().count(), 4);

    let copy = directory.path().join("copy");
    let file = directory.path().join("records");
    fs::write(&file, &lines).unwrap();
    let text = success(&["import", file.to_str().unwrap(), "--tree", "other"], &copy);
    assert_eq!(text, "7 records stored\n");
    assert_eq!(success(&["export", "--tree", "other"], &copy), lines);
    assert_eq!(success(&["find"], &copy), "");
    assert_eq!(success(&["trees"], &copy), "         0 default\n         7 other\n");

    // From standard input, with a line that is no record.
    let mut child = holt(&["import"], &copy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input =
        b"{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\"}\n{\"key\":\"c\",\"value\":\"3\"}\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("standard input: line 3 is no JSON object"), "{text}");
    assert_eq!(success(&["find"], &copy), "a\n");
    let missing = directory.path().join("missing");
    let text = failure(&["import", missing.to_str().unwrap()], &copy, 1);
    assert!(text.contains("cannot read"), "{text}");
}

#[test]
fn many_records_are_imported_in_one_go() {
    let (directory, path) = database(&[]);
    let file = directory.path().join("records");
    let lines: String = (0..3000)
        .map(|n| format!("{{\"key\":\"k/{n:05}\",\"value\":\"{}\"}}\n", "v".repeat(n % 300)))
        .collect();
    fs::write(&file, &lines).unwrap();
    assert_eq!(success(&["import", file.to_str().unwrap()], &path), "3000 records stored\n");
    assert_eq!(success(&["export", "k/"], &path), lines);
}

#[test]
fn the_log_is_shown_record_by_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = Db::open(&path).unwrap();
    let tree = db.default_tree();
    tree.put(b"before", b"").unwrap();
    db.checkpoint().unwrap();
    tree.put(b"a/\xff", b"12345").unwrap();
    tree.delete(b"before").unwrap();
    let _ = tree.rename(b"a/\xff", b"a/b").unwrap();
    let _ = tree.rename_prefix(b"a/", b"c/").unwrap();
    db.atomic(|batch| {
        batch.put(&tree, b"one", b"1")?;
        batch.delete_prefix(&tree, b"c/")
    })
    .unwrap();
    db.create_tree("t").unwrap();
    db.rename_tree("t", "u").unwrap();
    db.drop_tree("u").unwrap();
    drop(tree);
    db.close().unwrap();
    let text = success(&["log"], &path);
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start())
        .collect();
    assert_eq!(
        lines[..9],
        [
            "put 1 a/\\xFF (5 bytes)",
            "delete 1 before",
            "rename 1 a/\\xFF -> a/b",
            "rename-prefix 1 a/ -> c/",
            "batch of 2",
            "put 1 one (1 bytes)",
            "delete-prefix 1 c/",
            "create-tree 2 t",
            "rename-tree 2 u",
        ]
    );
    assert_eq!(lines[9], "drop-tree 2");
    let text = success(&["log", "--json"], &path);
    let objects: Vec<serde_json::Value> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(objects[0]["key"], serde_json::json!({ "hex": "612fff" }));
    assert_eq!(objects[4]["operations"][1]["prefix"], "c/");
    assert!(objects[1]["address"].as_u64() > objects[0]["address"].as_u64());
    // Nothing of this changed anything.
    assert_eq!(success(&["log", "--json"], &path), text);
}

#[test]
fn json_is_one_object_a_line() {
    let (_directory, path) = database(KEYS);
    assert_eq!(
        success(&["ls", "--json", "usr/"], &path),
        "{\"name\":\"bin/\"}\n{\"name\":\"lib/\"}\n"
    );
    assert_eq!(success(&["find", "--json", "v"], &path), "{\"name\":\"var\"}\n");
    let object: serde_json::Value = success(&["stat", "--json"], &path).parse().unwrap();
    assert_eq!((&object["keys"], &object["trees"]), (&6.into(), &1.into()));
    let object: serde_json::Value = success(&["get", "--json", "var"], &path).parse().unwrap();
    assert_eq!((&object["key"], &object["value"]), (&"var".into(), &"var".into()));
    assert!(object["version"].as_u64().unwrap() > 0);
    let object: serde_json::Value = success(&["trees", "--json"], &path).parse().unwrap();
    assert_eq!((&object["name"], &object["keys"]), (&"default".into(), &6.into()));
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holt"));
        let output = command.args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("holt") && script.contains("verify"), "{shell}");
    }
}

#[test]
fn a_database_or_tree_that_is_not_there_is_told() {
    let (_directory, path) = database(&["k"]);
    for command in [&["ls"][..], &["get", "k"], &["rm", "k"], &["du"], &["tree"], &["export"]] {
        let text = failure(&[command, &["--tree", "none"]].concat(), &path, 1);
        assert!(text.contains("there is no tree \"none\""), "{text}");
    }
    let nowhere = Path::new("/nowhere/at/all");
    for command in [&["log"][..], &["mv", "a", "b"], &["du"], &["tree"], &["export"], &["trees"]] {
        let text = failure(command, nowhere, 1);
        assert!(text.contains("there is no database here"), "{text}");
    }
}
