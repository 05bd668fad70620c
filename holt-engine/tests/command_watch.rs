//! The commands that look at a whole database: compact, stat, top, verify; and the manual pages.

#[path = "common/binary.rs"]
mod binary;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use binary::{failure, holt, success};
use holt_engine::{Db, Options};
use serde_json::Value;

fn object(text: &str) -> Value {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn compacting_gives_back_what_removed_keys_took() {
    let directory = tempfile::tempdir().unwrap();
    let db = Options::new().checkpoint_bytes(0).open(directory.path()).unwrap();
    for number in 0..2000_u32 {
        db.default_tree().put(&number.to_be_bytes(), &[7; 3000]).unwrap();
    }
    db.checkpoint().unwrap();
    assert!(db.default_tree().delete_prefix(&[0, 0]).unwrap());
    db.close().unwrap();
    let first = object(&success(&["compact", "--json"], directory.path()));
    let bytes = |name: &str| first[name].as_u64().unwrap();
    assert!(bytes("bytes_after") * 4 < bytes("bytes_before"), "{first}");
    let text = success(&["compact"], directory.path());
    assert!(text.starts_with(&format!("frame file {} -> ", bytes("bytes_after"))), "{text}");
    assert_eq!(success(&["verify"], directory.path()), "sound\n");
    let text = failure(&["compact"], Path::new("/nowhere/at/all"), 1);
    assert!(text.contains("there is no database here"), "{text}");
}

#[test]
fn every_figure_of_a_database_is_told() {
    let directory = tempfile::tempdir().unwrap();
    success(&["put", "key", "value"], directory.path());
    let checkpoint = object(&success(&["checkpoint", "--json"], directory.path()));
    assert!(checkpoint["images"].as_u64().unwrap() > 0, "{checkpoint}");
    let stat = object(&success(&["stat", "--json"], directory.path()));
    assert_eq!(stat["checkpoint_address"], checkpoint["log_address"]);
    assert_eq!(
        (&stat["keys"], &stat["trees"], &stat["reclaiming"]),
        (&1.into(), &1.into(), &false.into())
    );
    for name in ["frames", "fill", "memory_bytes", "store_bytes", "live_bytes", "log_address"] {
        assert!(stat[name].as_f64().unwrap() > 0.0, "{name}: {stat}");
    }
    let text = success(&["stat", "--prometheus"], directory.path());
    let sample = format!("holt_keys{{database=\"{}\"}} 1", directory.path().display());
    assert!(text.lines().any(|line| line == sample), "{text}");
    let text = success(&["stat"], directory.path());
    let live = format!("live             {} bytes", stat["live_bytes"]);
    assert!(text.lines().any(|line| line == live), "{text}");
}

#[test]
fn what_is_changed_can_be_told_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("source"), directory.path().join("db"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "12345").unwrap();
    let json = |arguments: &[&str]| object(&success(&[arguments, &["--json"]].concat(), &path));
    let index = json(&["index", source.to_str().unwrap()]);
    assert_eq!((&index["added"], &index["entries"]), (&1.into(), &1.into()));
    let put = json(&["put", "a/b", "1"]);
    assert_eq!(put["key"], "a/b");
    assert_eq!(json(&["get", "a/b"])["version"], put["version"]);
    let mv = json(&["mv", "a/b", "a/c"]);
    assert_eq!((&mv["from"], &mv["to"]), (&"a/b".into(), &"a/c".into()));
    assert_eq!(json(&["get", "a/c"])["version"], mv["version"]);
    assert!(json(&["mv", "-r", "a/", "b/"])["version"].as_u64() > mv["version"].as_u64());
    assert_eq!(json(&["rm", "file"])["key"], "file");
    assert_eq!(json(&["rm", "-r", "b/"])["prefix"], "b/");
    let lines = directory.path().join("lines");
    std::fs::write(&lines, "{\"key\":\"k\",\"value\":\"v\"}\n").unwrap();
    assert_eq!(json(&["import", lines.to_str().unwrap()])["records"], 1);
    let verify = json(&["verify"]);
    assert_eq!((&verify["sound"], &verify["faults"]), (&true.into(), &0.into()));
}

#[test]
fn faults_are_told_as_json_too() {
    let directory = tempfile::tempdir().unwrap();
    success(&["put", "key", "value"], directory.path());
    success(&["checkpoint"], directory.path());
    let data = directory.path().join("DATA");
    let mut bytes = std::fs::read(&data).unwrap();
    let at = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let output = holt(&["verify", "--json"], directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(object).collect();
    let (last, findings) = lines.split_last().unwrap();
    assert_eq!(last["sound"], false);
    let faults = findings.iter().filter(|line| line["fault"].is_string()).count();
    assert_eq!(last["faults"].as_u64(), Some(faults as u64));
    assert!(faults > 0, "{text}");
}

#[test]
fn top_counts_what_another_process_writes_without_opening_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let tree = db.default_tree();
    tree.put(b"before", b"").unwrap();
    db.sync().unwrap();
    let mut top = holt(&["top", "--json", "--interval", "0.01"], directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let first = object(&lines.next().unwrap().unwrap());
    assert_eq!((&first["puts"], &first["log_bytes"]), (&0.into(), &0.into()));
    for number in 0..100_u32 {
        tree.put(&number.to_be_bytes(), b"value").unwrap();
    }
    tree.delete(b"before").unwrap();
    db.sync().unwrap();
    let end = db.stats().unwrap().log_address;
    let last = lines.map(|line| object(&line.unwrap())).find(|line| line["log_address"] == end);
    let last = last.unwrap();
    assert_eq!((&last["puts"], &last["deletes"]), (&100.into(), &1.into()));
    assert_eq!(last["log_bytes"], end - first["log_address"].as_u64().unwrap());
    top.kill().unwrap();
    top.wait().unwrap();

    let text = success(&["top", "--count", "2", "--interval", "0"], directory.path());
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().next().unwrap().contains("puts/s"), "{text}");
    let text = failure(&["top", "--count", "1"], Path::new("/nowhere/at/all"), 1);
    assert!(text.contains("there is no database here"), "{text}");
}

#[test]
fn keys_are_found_by_name_and_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    for key in ["lib/", "lib/liba.so", "lib/libb.so.1", "lib/x/liba.so", "var"] {
        db.default_tree().put(key.as_bytes(), b"").unwrap();
    }
    db.close().unwrap();
    let find = |arguments: &[&str]| success(&[&["find"], arguments].concat(), directory.path());
    assert_eq!(find(&["--name", "liba.*"]), "lib/liba.so\nlib/x/liba.so\n");
    assert_eq!(find(&["--name", "lib"]), "lib/\n");
    assert_eq!(find(&["lib/", "-n", "lib?.so*", "--limit", "2"]), "lib/liba.so\nlib/libb.so.1\n");
    assert_eq!(find(&["--after", "lib/libb.so.1", "--limit", "1"]), "lib/x/liba.so\n");
    assert_eq!(find(&["--reverse", "--limit", "2"]), "var\nlib/x/liba.so\n");
    assert_eq!(find(&["--limit", "0"]), "");
}

#[test]
fn every_command_has_a_manual_page() {
    let page = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holt"));
        let output = command.arg("man").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = page(&[]);
    assert!(whole.contains(".TH holt 1"), "{whole}");
    let commands = ["ls", "find", "compact", "top", "shell", "verify"];
    for command in commands {
        assert!(whole.contains(&format!("holt\\-{command}(1)")), "{command}: {whole}");
        let text = page(&[command]);
        assert!(text.contains(&format!("holt\\-{command}")), "{text}");
        assert!(text.contains(".SH OPTIONS"), "{text}");
    }
    let directory = tempfile::tempdir().unwrap();
    page(&["--out", directory.path().to_str().unwrap()]);
    for name in ["holt.1", "holt-ls.1", "holt-shell.1"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_holt"));
    let output = command.args(["man", "nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
