//! The shell: many commands on one open database, from a pipe and on a terminal.

#[path = "common/binary.rs"]
mod binary;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use binary::{failure, holt, stderr, success};
use holt_engine::Db;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A database with a few keys in two trees.
fn database() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = Db::open(&path).unwrap();
    for key in ["usr/bin/env", "usr/lib/my file", "var"] {
        db.default_tree().put(key.as_bytes(), key.as_bytes()).unwrap();
    }
    db.create_tree("users").unwrap().put(b"alice", b"1").unwrap();
    db.close().unwrap();
    (directory, path)
}

/// Runs a shell on these lines, to its end.
fn script(arguments: &[&str], path: &Path, lines: &str) -> Output {
    let arguments = [&["shell"], arguments].concat();
    let mut command = holt(&arguments, path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Err(error) = child.stdin.take().unwrap().write_all(lines.as_bytes()) {
        // A shell that is refused the database ends without having read a line.
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn lines_run_on_one_database_in_their_order() {
    let (_directory, path) = database();
    let lines = "\
# what there is
find

ls usr/
get 'usr/lib/my file'
put \"a key\" a\\ value
get a\\ key
mv -r usr/ opt/
find o
use users
find
find --tree default v
rm alice
exit
find this is not read
";
    let output = text(&script(&[], &path, lines));
    let expected = "\
usr/bin/env
usr/lib/my file
var
bin/
lib/
usr/lib/my filea valueopt/bin/env
opt/lib/my file
alice
var
";
    assert_eq!(output, expected);
    assert_eq!(success(&["find"], &path), "a key\nopt/bin/env\nopt/lib/my file\nvar\n");
    assert_eq!(success(&["find", "--tree", "users"], &path), "");
}

#[test]
fn every_command_works_in_a_shell() {
    let (directory, path) = database();
    let source = directory.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    let records = directory.path().join("records");
    std::fs::write(&records, "{\"key\":\"imported\",\"value\":\"1\"}\n").unwrap();
    let (source, records) = (source.display(), records.display());
    let lines = [
        format!("index {source}"),
        format!("import {records}"),
        "export imp".to_owned(),
        "tree usr/".to_owned(),
        "du".to_owned(),
        "trees".to_owned(),
        "stat".to_owned(),
        "log".to_owned(),
        "top --count 1 --interval 0".to_owned(),
        "checkpoint".to_owned(),
        "compact".to_owned(),
        "verify".to_owned(),
        "get --json imported".to_owned(),
        "man ls".to_owned(),
        "help ls".to_owned(),
    ];
    let output = text(&script(&[], &path, &(lines.join("\n") + "\n")));
    for expected in [
        "1 added",
        "1 records stored",
        "{\"key\":\"imported\",\"value\":\"1\"}",
        "└── my file",
        "users",
        "last checkpoint",
        "put 1 imported",
        "log to replay",
        "checkpoint at log address",
        "frame file",
        "\nsound\n",
        "\"version\":",
        "holt\\-ls",
        "--null",
    ] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    success(&["verify"], &path);
}

#[test]
fn the_first_line_that_fails_ends_a_script() {
    let (_directory, path) = database();
    for (lines, expected) in [
        ("get missing\nput x y\n", "holt: no such key: missing\n"),
        ("nonsense\nput x y\n", "holt: unrecognized subcommand 'nonsense'\n"),
        ("get 'open\nput x y\n", "holt: the line ends inside a quote or behind a backslash\n"),
        ("shell\nput x y\n", "holt: this is a shell already\n"),
        ("ls --bogus\nput x y\n", "holt: unexpected argument '--bogus' found\n"),
    ] {
        let output = script(&[], &path, lines);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), expected));
    }
    let output = script(&[], &path, "use none\n");
    assert!(stderr(&output).contains("there is no tree \"none\""), "{}", stderr(&output));
    assert_eq!(success(&["find", "x"], &path), "");
}

#[test]
fn a_reading_shell_refuses_to_write_and_leaves_room_for_others() {
    let (_directory, path) = database();
    let reader = holt_engine::Options::new().read_only(true).open(&path).unwrap();
    let output = script(&["--read-only", "--tree", "users"], &path, "find\nput x y\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alice\n");
    assert!(stderr(&output).contains("opened for reading only"), "{}", stderr(&output));
    let output = script(&[], &path, "find\n");
    assert!(stderr(&output).contains("a writer must be alone"), "{}", stderr(&output));
    drop(reader);
    let text = failure(&["shell", "--tree", "none"], &path, 1);
    assert!(text.contains("there is no tree \"none\""), "{text}");
}

/// A shell on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    /// Everything that was shown.
    shown: String,
}

impl Terminal {
    fn new(path: &Path, history: &Path) -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let theirs = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let child = holt(&["shell", "--history", history.to_str().unwrap()], path)
            .env("TERM", "xterm")
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        Terminal { child, keyboard: File::from(ours), shown: String::new() }
    }

    /// Reads until `expected` is shown behind what was expected before.
    fn expect(&mut self, expected: &str) {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.shown.find(expected) {
                self.shown.drain(..at + expected.len());
                return;
            }
            // So that a shell that hangs fails the test and does not hang it.
            let mut ready = [PollFd::new(&self.keyboard, PollFlags::IN)];
            let limit = Timespec { tv_sec: 120, tv_nsec: 0 };
            assert_eq!(poll(&mut ready, Some(&limit)), Ok(1), "{expected}: {:?}", self.shown);
            match self.keyboard.read(&mut buffer) {
                Ok(read) if read > 0 => {
                    self.shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
                end => panic!("{expected} is not shown, but {:?} {end:?}", self.shown),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn end(mut self) {
        self.press("exit\r");
        assert!(self.child.wait().unwrap().success(), "{}", self.shown);
    }
}

#[test]
fn a_terminal_gets_completion_and_the_lines_of_earlier_sessions() {
    let (directory, path) = database();
    let history = directory.path().join("state/holt/history");
    let mut terminal = Terminal::new(&path, &history);
    terminal.expect("holt:default> ");
    // The tabulator completes the command, then the key, which it quotes.
    terminal.press("ge\t");
    terminal.expect("get");
    terminal.press(" usr/l\t");
    terminal.expect("usr/lib/");
    terminal.press("\t");
    terminal.expect("my\\ file");
    terminal.press("\r");
    terminal.expect("usr/lib/my file");
    // A failure is told, and the next line is read.
    terminal.press("get nothing\r");
    terminal.expect("holt: no such key: nothing");
    terminal.expect("holt:default> ");
    terminal.press("use users\r");
    terminal.expect("holt:users> ");
    terminal.press("put bob 'the value'\r");
    terminal.expect("holt:users> ");
    terminal.end();
    let lines = std::fs::read_to_string(&history).unwrap();
    assert!(
        lines.contains("get usr/lib/my\\\\ file") || lines.contains("get usr/lib/my\\ file"),
        "{lines}"
    );
    assert!(lines.contains("put bob 'the value'"), "{lines}");

    let mut terminal = Terminal::new(&path, &history);
    terminal.expect("holt:default> ");
    // Up beyond `exit` to the line before it, whose key is read back.
    terminal.press("\x1b[A\x1b[A");
    terminal.expect("put bob 'the value'");
    terminal.press("\r");
    terminal.expect("holt:default> ");
    terminal.press("get bob\r");
    terminal.expect("the value");
    terminal.end();
    assert_eq!(success(&["get", "bob"], &path), "the value");
}
