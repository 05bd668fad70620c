//! The names of a file system: directories, files, hard renames, and removal of whole directories.
//!
//! `cargo run -p holt-engine --example namespace`
//!
//! The record of a directory has the key of its path and a slash; that of a file has no slash. So
//! everything below a directory begins with its record's key, and one prefix operation moves it.

use holt_engine::{Db, Error, Guard, Tree};

struct Names {
    db: Db,
    tree: Tree,
}

/// Why an operation is refused, in the words of POSIX.
#[derive(Debug, PartialEq)]
enum Refused {
    NoEntry,
    Exists,
    NotEmpty,
    Invalid,
}

type Answer<T> = Result<Result<T, Refused>, Error>;

fn directory(path: &str) -> Vec<u8> {
    if path.is_empty() { Vec::new() } else { [path.as_bytes(), b"/"].concat() }
}

fn parent(path: &str) -> Vec<u8> {
    directory(path.rsplit_once('/').map_or("", |(parent, _)| parent))
}

impl Names {
    /// Creates an entry if its parent is there and its name is free, both at one moment.
    fn create(&self, path: &str, key: &[u8], value: &[u8]) -> Answer<()> {
        let created = self.db.atomic(|batch| {
            if !parent(path).is_empty() {
                batch.require_present(&self.tree, &parent(path))?;
            }
            batch.require_absent(&self.tree, path.as_bytes())?;
            batch.require_absent(&self.tree, &directory(path))?;
            batch.put(&self.tree, key, value)
        });
        match created {
            Ok(_) => Ok(Ok(())),
            Err(Error::GuardFailed(failed)) if failed.guard == Guard::Present => {
                Ok(Err(Refused::NoEntry))
            }
            Err(Error::GuardFailed(_)) => Ok(Err(Refused::Exists)),
            Err(error) => Err(error),
        }
    }

    fn mkdir(&self, path: &str) -> Answer<()> {
        self.create(path, &directory(path), b"")
    }

    fn write(&self, path: &str, content: &str) -> Answer<()> {
        self.create(path, path.as_bytes(), content.as_bytes())
    }

    /// The names in a directory, those of directories with a slash.
    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let below = directory(path);
        let mut names = Vec::new();
        for entry in self.tree.prefix(&below).delimiter("/").keys_only() {
            let name = entry?.into_name();
            if name != below {
                names.push(String::from_utf8_lossy(&name[below.len()..]).into_owned());
            }
        }
        Ok(names)
    }

    /// Moves a directory with all that is in it, if the new place has a parent and is free.
    fn move_directory(&self, from: &str, to: &str) -> Answer<()> {
        let moved = self.db.atomic(|batch| {
            if !parent(to).is_empty() {
                batch.require_present(&self.tree, &parent(to))?;
            }
            batch.require_absent(&self.tree, to.as_bytes())?;
            batch.rename_prefix(&self.tree, &directory(from), &directory(to))
        });
        match moved {
            Ok(_) => Ok(Ok(())),
            Err(Error::PrefixInside) => Ok(Err(Refused::Invalid)),
            Err(Error::GuardFailed(failed)) => Ok(Err(match failed.guard {
                Guard::Present | Guard::RenameSource => Refused::NoEntry,
                _ => Refused::Exists,
            })),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory that is empty: one record, its own, begins with its key.
    fn rmdir(&self, path: &str) -> Answer<()> {
        let key = directory(path);
        let Some(version) = self.tree.version(&key)? else { return Ok(Err(Refused::NoEntry)) };
        // Whatever is created in it meanwhile needs its record, which goes here.
        let mut entries = self.tree.prefix(&key).keys_only().limit(2).into_iter();
        if entries.by_ref().filter(Result::is_ok).count() > 1 {
            return Ok(Err(Refused::NotEmpty));
        }
        let gone = self.db.atomic(|batch| {
            batch.require_version(&self.tree, &key, version)?;
            // The first key behind the directory's own would begin with one of these.
            (0..=u8::MAX).try_for_each(|byte| {
                batch.require_empty_prefix(&self.tree, &[&key[..], &[byte]].concat())
            })?;
            batch.delete(&self.tree, &key)
        });
        match gone {
            Ok(_) => Ok(Ok(())),
            Err(Error::GuardFailed(_)) => Ok(Err(Refused::NotEmpty)),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let db = Db::in_memory()?;
    let names = Names { tree: db.create_tree("names")?, db };
    assert_eq!(names.write("etc/hosts", "")?, Err(Refused::NoEntry));
    assert_eq!(names.mkdir("etc")?, Ok(()));
    assert_eq!(names.write("etc/hosts", "127.0.0.1 localhost")?, Ok(()));
    assert_eq!(names.mkdir("etc/hosts")?, Err(Refused::Exists));
    assert_eq!(names.mkdir("etc/ssl")?, Ok(()));
    assert_eq!(names.list("etc")?, ["hosts", "ssl/"]);

    assert_eq!(names.move_directory("etc", "usr/etc")?, Err(Refused::NoEntry));
    assert_eq!(names.mkdir("usr")?, Ok(()));
    assert_eq!(names.move_directory("etc", "usr/etc")?, Ok(()));
    assert_eq!(names.move_directory("usr", "usr/etc/usr")?, Err(Refused::Invalid));
    assert_eq!(names.list("")?, ["usr/"]);
    assert_eq!(names.list("usr/etc")?, ["hosts", "ssl/"]);
    assert_eq!(names.rmdir("usr/etc")?, Err(Refused::NotEmpty));
    assert_eq!(names.rmdir("usr/etc/ssl")?, Ok(()));
    println!("usr/etc holds {:?}", names.list("usr/etc")?);
    Ok(())
}
