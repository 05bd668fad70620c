//! Writes of a tree that look before they change: conditions, updates, renames.

use std::collections::HashMap;

use holt_art::{Condition, Put, Removed, Version};
use holt_codec::{BatchBuf, Op, Record};
use holt_journal::disk::Disk;

use crate::commit::{Commit, Request};
use crate::core::{check_key, check_value};
use crate::error::Error;
use crate::guard::{Guard, Guarded};
use crate::options::Durability;
use crate::outcome::{Outcome, Renamed, Updated};
use crate::tree::Tree;

/// # Conditional writes
impl<D: Disk> Tree<D> {
    /// Puts `value` under `key` if `key` has no value. Waits for the database's
    /// [durability](crate::Options::durability), if it is refused, too.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// See [`Outcome`].
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// assert!(tree.put_if_absent(b"key", b"mine")?.is_done());
    /// assert!(!tree.put_if_absent(b"key", b"theirs")?.is_done());
    /// assert_eq!(tree.get(b"key")?.as_deref(), Some(&b"mine"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_if_absent(&self, key: &[u8], value: &[u8]) -> Result<Outcome, Error> {
        self.put_if_absent_with(key, value, self.core().durability)
    }

    /// As [`put_if_absent`](Self::put_if_absent), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// // Nobody hears that he has the lock before that is on stable storage.
    /// let mine = tree.put_if_absent_with(b"lock", b"me", Durability::Sync)?;
    /// assert!(mine.is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_if_absent_with(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<Outcome, Error> {
        self.compare_and_put_with(key, None, value, durability)
    }

    /// Puts `value` under `key` if what is there is what the caller has seen: the value of the
    /// version `expected`, or none.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let seen = tree.put(b"lease", b"alice until 12:00")?;
    /// let renewed = tree.compare_and_put(b"lease", Some(seen), b"alice until 12:05")?;
    /// assert!(renewed.is_done());
    /// // Whoever still has the old version in hand is too late.
    /// assert!(!tree.compare_and_put(b"lease", Some(seen), b"bob until 12:10")?.is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_and_put(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
    ) -> Result<Outcome, Error> {
        self.compare_and_put_with(key, expected, value, self.core().durability)
    }

    /// As [`compare_and_put`](Self::compare_and_put), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let seen = tree.put(b"key", b"one")?;
    /// let put = tree.compare_and_put_with(b"key", Some(seen), b"two", Durability::Sync)?;
    /// assert!(put.is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_and_put_with(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
        durability: Durability,
    ) -> Result<Outcome, Error> {
        check_key(key)?;
        check_value(value)?;
        let condition = expected.map_or(Condition::Absent, Condition::Version);
        Ok(self.put_if(key, value, condition, durability)?.into())
    }

    /// Removes `key` and its value if the value is that of the version `expected`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let mine = tree.put(b"lease", b"alice")?;
    /// let renewed = tree.put(b"lease", b"alice, again")?;
    /// assert!(!tree.compare_and_delete(b"lease", mine)?.is_done());
    /// assert!(tree.compare_and_delete(b"lease", renewed)?.is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_and_delete(&self, key: &[u8], expected: Version) -> Result<Outcome, Error> {
        self.compare_and_delete_with(key, expected, self.core().durability)
    }

    /// As [`compare_and_delete`](Self::compare_and_delete), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let seen = tree.put(b"key", b"one")?;
    /// assert!(tree.compare_and_delete_with(b"key", seen, Durability::Sync)?.is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_and_delete_with(
        &self,
        key: &[u8],
        expected: Version,
        durability: Durability,
    ) -> Result<Outcome, Error> {
        check_key(key)?;
        Ok(self.remove_if(key, Condition::Version(expected), durability)?.into())
    }

    /// Replaces the value of `key` by what `change` makes of it: it gets the value that is there, or
    /// none, and returns the new one, or none to remove the key.
    ///
    /// Nothing is locked while `change` runs. If somebody else has changed the key meanwhile, it
    /// runs again with the value of then, so it may run several times.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let count = |old: Option<&[u8]>| {
    ///     let old = old.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    ///     Some((old + 1).to_le_bytes().to_vec())
    /// };
    /// tree.update(b"visits", count)?;
    /// tree.update(b"visits", count)?;
    /// assert_eq!(tree.get(b"visits")?, Some(2_u64.to_le_bytes().to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(
        &self,
        key: &[u8],
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Updated, Error> {
        self.update_with(key, self.core().durability, change)
    }

    /// As [`update`](Self::update), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let append = |old: Option<&[u8]>| Some([old.unwrap_or_default(), b"x"].concat());
    /// tree.update_with(b"key", Durability::Sync, append)?;
    /// tree.update_with(b"key", Durability::Sync, append)?;
    /// assert_eq!(tree.get(b"key")?.as_deref(), Some(&b"xx"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_with(
        &self,
        key: &[u8],
        durability: Durability,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Updated, Error> {
        check_key(key)?;
        // Refused before `change` has run for nothing.
        self.core().log()?;
        loop {
            let (old, version) = self.get_with_version(key)?.unzip();
            let Some(new) = change(old.as_deref()) else {
                let Some(version) = version else {
                    self.core().rest(durability)?;
                    return Ok(Updated::Unchanged);
                };
                match self.remove_if(key, Condition::Version(version), durability)? {
                    Removed::Removed(_) => return Ok(Updated::Deleted),
                    Removed::Missing | Removed::Refused(_) => continue,
                }
            };
            check_value(&new)?;
            let condition = version.map_or(Condition::Absent, Condition::Version);
            match self.put_if(key, &new, condition, durability)? {
                Put::Inserted(version) | Put::Replaced(version) => {
                    return Ok(Updated::Put(version));
                }
                Put::Refused(_) => {}
            }
        }
    }
}

/// # Several keys at once
impl<D: Disk> Tree<D> {
    /// Puts those of the records whose keys have no value, all in one record of the log, and gives
    /// an answer for each in the order of `records`. If a key comes twice, the second is refused.
    ///
    /// All answers are of one moment, and what is put is there after a crash as a whole or not at
    /// all. If others keep changing these keys meanwhile, it looks again.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); [`Error::BatchTooLong`] if they do not fit in one record.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"b", b"old")?;
    /// let answers = tree.put_all_if_absent(&[("a", "new"), ("b", "new")])?;
    /// assert!(answers[0].is_done() && !answers[1].is_done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_all_if_absent<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: &[(K, V)],
    ) -> Result<Vec<Outcome>, Error> {
        self.put_all_if_absent_with(records, self.core().durability)
    }

    /// As [`put_all_if_absent`](Self::put_all_if_absent), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put_all_if_absent`](Self::put_all_if_absent).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// let answers = tree.put_all_if_absent_with(&[("a", "1"), ("b", "2")], Durability::Sync)?;
    /// assert!(answers.iter().all(|answer| answer.is_done()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_all_if_absent_with<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: &[(K, V)],
        durability: Durability,
    ) -> Result<Vec<Outcome>, Error> {
        for (key, value) in records {
            check_key(key.as_ref())?;
            check_value(value.as_ref())?;
        }
        self.core().log()?;
        let named = self.named();
        // Where each key comes first; later ones have its answer as what they found.
        let mut firsts: HashMap<&[u8], usize> = HashMap::with_capacity(records.len());
        for (index, (key, _)) in records.iter().enumerate() {
            firsts.entry(key.as_ref()).or_insert(index);
        }
        loop {
            let mut batch = BatchBuf::new();
            let mut guards = Vec::with_capacity(firsts.len());
            // What each key has, and the operation that puts it if it has nothing.
            let mut found = Vec::with_capacity(records.len());
            for (index, (key, value)) in records.iter().enumerate() {
                let (key, value) = (key.as_ref(), value.as_ref());
                if firsts[key] != index {
                    found.push((None, 0));
                    continue;
                }
                let there = self.version(key)?;
                found.push((there, batch.len()));
                let guard = there.map_or(Guard::Absent, Guard::Version);
                guards.push(Guarded { tree: named.id, key: key.to_vec(), guard });
                if there.is_none() {
                    batch.push(&Op::Put { tree: named.id, key, value }).map_err(
                        |error| match error {
                            holt_codec::Error::RecordTooLong { len } => {
                                Error::BatchTooLong { bytes: len }
                            }
                            error => error.into(),
                        },
                    )?;
                }
            }
            let record = match batch.is_empty() {
                true => None,
                false => Some(Record::from(batch.as_batch()?)),
            };
            let trees = std::slice::from_ref(named);
            let request = Request { trees, guards: &guards, record, gentle: &[] };
            let Commit::Done(first) = self.core().commit(&request, durability)? else {
                // Somebody was faster with one of the keys.
                continue;
            };
            let answer = |index: usize| match found[index] {
                (Some(version), _) => Outcome::Refused { found: Some(version) },
                (None, number) => {
                    let version = first.and_then(|first| Version::new(first.get() + number));
                    Outcome::Done(version.expect("what was put has a version"))
                }
            };
            let answers = records.iter().enumerate().map(|(index, (key, _))| {
                let origin = firsts[key.as_ref()];
                match answer(origin) {
                    Outcome::Done(version) if origin != index => {
                        Outcome::Refused { found: Some(version) }
                    }
                    answer => answer,
                }
            });
            return Ok(answers.collect());
        }
    }

    /// Gives the value of `from` to `to` and removes `from`, in one step: no reader and no crash
    /// finds both or neither. Does nothing if there is no `from`, or if `to` has a value. Waits for
    /// the database's [durability](crate::Options::durability).
    ///
    /// The value gets a new version. All other writers wait for the moment of the change.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use holt_engine::Renamed;
    ///
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"draft", b"text")?;
    /// assert!(matches!(tree.rename(b"draft", b"final")?, Renamed::Done(_)));
    /// assert_eq!(tree.rename(b"draft", b"final")?, Renamed::Missing);
    /// assert_eq!(tree.get(b"final")?.as_deref(), Some(&b"text"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<Renamed, Error> {
        self.rename_with(from, to, self.core().durability)
    }

    /// As [`rename`](Self::rename), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"a", b"")?;
    /// let renamed = tree.rename_with(b"a", b"b", Durability::Sync)?;
    /// assert!(matches!(renamed, holt_engine::Renamed::Done(_)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_with(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
    ) -> Result<Renamed, Error> {
        self.rename_key(from, to, &[0], durability)
    }

    /// As [`rename`](Self::rename), in place of the value that `to` may have.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"config", b"old")?;
    /// tree.put(b"config.new", b"new")?;
    /// let _ = tree.rename_replacing(b"config.new", b"config")?;
    /// assert_eq!(tree.get(b"config")?.as_deref(), Some(&b"new"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_replacing(&self, from: &[u8], to: &[u8]) -> Result<Renamed, Error> {
        self.rename_replacing_with(from, to, self.core().durability)
    }

    /// As [`rename_replacing`](Self::rename_replacing), waiting for `durability`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// use holt_engine::Durability;
    ///
    /// # let tree = holt_engine::Db::in_memory()?.default_tree();
    /// tree.put(b"a", b"new")?;
    /// tree.put(b"b", b"old")?;
    /// let _ = tree.rename_replacing_with(b"a", b"b", Durability::Sync)?;
    /// assert_eq!(tree.get(b"b")?.as_deref(), Some(&b"new"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_replacing_with(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
    ) -> Result<Renamed, Error> {
        self.rename_key(from, to, &[], durability)
    }

    fn rename_key(
        &self,
        from: &[u8],
        to: &[u8],
        gentle: &[u64],
        durability: Durability,
    ) -> Result<Renamed, Error> {
        check_key(from)?;
        check_key(to)?;
        let named = self.named();
        let record = Some(Record::from(Op::Rename { tree: named.id, from, to }));
        let trees = std::slice::from_ref(named);
        let request = Request { trees, guards: &[], record, gentle };
        Ok(match self.core().commit(&request, durability)? {
            Commit::Done(version) => Renamed::Done(version.expect("there was an operation")),
            Commit::Failed(failure) => match failure.found {
                Some(version) => Renamed::Exists(version),
                None => Renamed::Missing,
            },
        })
    }
}
