//! Opening: what the options allow, what is refused before anything changes, and what reading leaves alone.

#[path = "common/files.rs"]
mod files;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use files::files;
use holt_engine::disk::{RealDisk, SimDisk, Target};
use holt_engine::{Create, Db, Error, Holder, Options};

/// Options with one value that is out of bounds, and the name of its method.
fn bad() -> Vec<(&'static str, Options)> {
    let mut bad = Vec::new();
    let mut with = |name, options: &mut Options| bad.push((name, options.clone()));
    with("memory_bytes", Options::new().memory_bytes(0));
    with("memory_bytes", Options::new().memory_bytes((512 << 10) - 1));
    with("memory_bytes", Options::new().memory_bytes(u64::MAX));
    with("buffer_bytes", Options::new().buffer_bytes((4 << 30) + 1));
    with("buffer_bytes", Options::new().buffer_bytes(usize::MAX));
    with("segment_bytes", Options::new().segment_bytes(0));
    with("segment_bytes", Options::new().segment_bytes(4095));
    with("segment_bytes", Options::new().segment_bytes((64 << 30) + 1));
    with("buffer_window", Options::new().buffer_window(Duration::MAX));
    with("checkpoint_idle", Options::new().checkpoint_idle(Duration::ZERO));
    with("create", Options::new().read_only(true).create(Create::New));
    bad
}

#[test]
fn a_value_out_of_bounds_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    for (expected, options) in bad() {
        let refused = options.open(&path);
        let Err(error @ Error::BadOption { name, .. }) = refused else {
            panic!("{expected}: {refused:?}");
        };
        assert_eq!(name, expected);
        assert!(error.to_string().starts_with(&format!("the option {name} cannot be ")), "{error}");
        assert!(!path.exists(), "{expected}: the directory was made");

        let disk = SimDisk::new(1);
        let refused = options.open_on(Arc::new(disk.clone())).map(drop);
        assert!(matches!(refused, Err(Error::BadOption { .. })), "{expected}: {refused:?}");
        assert_eq!(disk.count(Target::Changes), 0, "{expected}");

        let refused = options.in_memory().map(drop);
        assert!(matches!(refused, Err(Error::BadOption { .. })), "{expected}: {refused:?}");
    }
    let refused = Options::new().read_only(true).in_memory().map(drop);
    assert!(matches!(refused, Err(Error::BadOption { name: "read_only", .. })), "{refused:?}");
}

#[test]
fn a_value_out_of_bounds_leaves_a_database_that_is_there_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    Db::open(directory.path()).unwrap().default_tree().put(b"key", b"value").unwrap();
    let before = files(directory.path());
    for (name, options) in bad() {
        let refused = options.open(directory.path()).map(drop);
        assert!(matches!(refused, Err(Error::BadOption { .. })), "{name}: {refused:?}");
        assert_eq!(files(directory.path()), before, "{name}");
    }
}

#[test]
fn values_at_their_bounds_open_a_database_that_works() {
    let at_bounds = [
        Options::new().memory_bytes(512 << 10).clone(),
        Options::new().buffer_bytes(0).clone(),
        Options::new().segment_bytes(4096).clone(),
        Options::new().buffer_window(Duration::ZERO).clone(),
        Options::new().buffer_window(Duration::from_secs(86_400)).clone(),
        Options::new().checkpoint_idle(Duration::MAX).clone(),
        Options::new().checkpoint_bytes(u64::MAX).clone(),
    ];
    for (number, options) in at_bounds.into_iter().enumerate() {
        let disk = Arc::new(SimDisk::new(2));
        let opened = options.open_on(Arc::clone(&disk));
        let db = opened.unwrap_or_else(|error| panic!("{number}: {error}"));
        db.default_tree().put(b"key", b"value").unwrap();
        db.sync().unwrap();
        db.close().unwrap();
        let db = options.open_on(disk).unwrap();
        assert_eq!(db.default_tree().get(b"key").unwrap().unwrap(), b"value", "{number}");
    }
}

#[test]
fn create_says_what_becomes_of_a_directory_that_is_missing_empty_or_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let open = |path: &Path, create, read_only| {
        Options::new().create(create).read_only(read_only).open(path)
    };
    let missing = |path: &Path| {
        for (create, read_only) in
            [(Create::Never, false), (Create::Never, true), (Create::IfMissing, true)]
        {
            let refused = open(path, create, read_only);
            assert!(matches!(refused, Err(Error::Missing)), "{create:?}: {refused:?}");
        }
    };
    missing(&path);
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    missing(&path);
    assert_eq!(files(&path).1.len(), 0, "something was created");

    let db = open(&path, Create::New, false).unwrap();
    db.default_tree().put(b"key", b"value").unwrap();
    db.close().unwrap();
    let before = files(&path);
    let refused = open(&path, Create::New, false);
    assert!(matches!(refused, Err(Error::Exists)), "{refused:?}");
    assert_eq!(files(&path), before);
    for create in [Create::IfMissing, Create::Never] {
        let db = open(&path, create, false).unwrap();
        assert_eq!(db.default_tree().len().unwrap(), 1);
    }

    let below_nothing = directory.path().join("none/db");
    let refused = open(&below_nothing, Create::IfMissing, false);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for read_only in [false, true] {
        let refused = open(&file, Create::IfMissing, read_only);
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
}

#[test]
fn readers_share_a_log_to_be_replayed_and_change_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::new();
    let db = options.checkpoint_bytes(0).open(directory.path()).unwrap();
    let tree = db.create_tree("t").unwrap();
    for number in 0..500_u32 {
        tree.put(&number.to_be_bytes(), b"in the checkpoint").unwrap();
    }
    db.checkpoint().unwrap();
    for number in 500..900_u32 {
        tree.put(&number.to_be_bytes(), b"in the log").unwrap();
    }
    assert!(tree.delete_prefix(&[0, 0, 0]).unwrap());
    drop(tree);
    db.close().unwrap();
    let before = files(directory.path());

    let read_only = || Options::new().read_only(true).open(directory.path());
    let readers: Vec<_> = (0..3).map(|_| read_only().unwrap()).collect();
    for db in &readers {
        let tree = db.open_tree("t").unwrap();
        assert_eq!(tree.len().unwrap(), 900 - 256);
        assert_eq!(tree.scan().into_iter().filter(Result::is_ok).count(), 900 - 256);
        let stats = db.stats().unwrap();
        assert!(stats.log_address > stats.checkpoint_address.unwrap(), "nothing was replayed");
        assert!(db.verify().unwrap().faults.is_empty());
        assert!(matches!(tree.put(b"key", b""), Err(Error::ReadOnly)));
        db.sync().unwrap();
    }
    assert!(holt_engine::verify(directory.path()).unwrap().faults.is_empty());
    let refused = Db::open(directory.path());
    assert!(matches!(refused, Err(Error::Locked { holder: Holder::Anybody })), "{refused:?}");
    drop(readers);
    assert_eq!(files(directory.path()), before);

    let writer = Db::open(directory.path()).unwrap();
    let refused = read_only();
    assert!(matches!(refused, Err(Error::Locked { holder: Holder::Writer })), "{refused:?}");
    drop((writer, refused));
    read_only().unwrap();
}

#[test]
fn another_programs_file_under_one_of_our_names_is_refused_and_left_alone() {
    let whole = tempfile::tempdir().unwrap();
    let db = Db::open(whole.path()).unwrap();
    db.default_tree().put(b"key", b"value").unwrap();
    db.checkpoint().unwrap();
    db.default_tree().put(b"later", b"value").unwrap();
    db.close().unwrap();
    let (_, names) = files(whole.path());
    let mut refusals = 0;
    for name in names.keys().filter(|name| *name != "LOCK") {
        let copy = tempfile::tempdir().unwrap();
        for other in names.keys() {
            std::fs::copy(whole.path().join(other), copy.path().join(other)).unwrap();
        }
        let length = std::fs::metadata(copy.path().join(name)).unwrap().len() as usize;
        std::fs::write(copy.path().join(name), vec![b'x'; length]).unwrap();
        let before = files(copy.path());
        for read_only in [false, true] {
            let mut options = Options::new();
            let refused = options.read_only(read_only).open(copy.path());
            assert!(matches!(refused, Err(Error::Journal(_))), "{name}: {refused:?}");
            refusals += 1;
        }
        assert_eq!(files(copy.path()), before, "{name}");
    }
    assert!(refusals >= 8, "{names:?}");
    // The real disk is what `open` makes of a path.
    let disk = Arc::new(RealDisk::open(whole.path()).unwrap());
    Options::new().open_on(disk).unwrap();
}
