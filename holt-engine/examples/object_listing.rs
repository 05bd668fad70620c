//! The listing of an object store: names below a prefix, rolled up at a delimiter, page by page.
//!
//! `cargo run -p holt-engine --example object_listing`

use holt_engine::{Db, Error, Tree};

/// Buckets of objects. An object's key is the bucket's name, a zero byte and the object's name.
struct Store {
    objects: Tree,
}

/// What a client asks for.
#[derive(Default)]
struct Request<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// The `next` of the page before.
    start_after: Option<String>,
    max_keys: u64,
}

/// What he gets.
#[derive(Debug, PartialEq)]
struct Answer {
    /// Name and size.
    objects: Vec<(String, u64)>,
    common_prefixes: Vec<String>,
    truncated: bool,
    next: Option<String>,
}

impl Store {
    fn key(bucket: &str, name: &str) -> Vec<u8> {
        [bucket.as_bytes(), b"\0", name.as_bytes()].concat()
    }

    /// Stores what is known of an object; `If-None-Match: *` is a put that replaces nothing.
    fn put(&self, bucket: &str, name: &str, size: u64, replace: bool) -> Result<bool, Error> {
        let (key, value) = (Store::key(bucket, name), size.to_le_bytes());
        if replace {
            return self.objects.put(&key, &value).map(|_| true);
        }
        Ok(self.objects.put_if_absent(&key, &value)?.is_done())
    }

    fn list(&self, bucket: &str, request: &Request<'_>) -> Result<Answer, Error> {
        let mut scan = self.objects.prefix(Store::key(bucket, request.prefix));
        if let Some(delimiter) = request.delimiter {
            scan = scan.delimiter(delimiter);
        }
        if let Some(name) = &request.start_after {
            scan = scan.start_after(Store::key(bucket, name));
        }
        let page = scan.limit(request.max_keys).page()?;
        let skip = bucket.len() + 1;
        let text = |name: &[u8]| String::from_utf8_lossy(&name[skip..]).into_owned();
        let mut answer = Answer {
            objects: Vec::new(),
            common_prefixes: Vec::new(),
            truncated: page.truncated,
            next: page.next.as_deref().map(text),
        };
        for entry in page.entries {
            match entry.value() {
                Some(value) => {
                    let size = value.try_into().map_or(0, u64::from_le_bytes);
                    answer.objects.push((text(entry.name()), size));
                }
                None => answer.common_prefixes.push(text(entry.name())),
            }
        }
        Ok(answer)
    }

    /// Removes a bucket with all that is in it, however much that is.
    fn remove_bucket(&self, bucket: &str) -> Result<bool, Error> {
        self.objects.delete_prefix(&Store::key(bucket, ""))
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let db = Db::in_memory()?;
    let store = Store { objects: db.create_tree("objects")? };
    for year in 2023..=2026 {
        for month in 1..=12 {
            store.put("photos", &format!("{year}/{month:02}/sea.jpg"), 3_000_000, true)?;
        }
    }
    store.put("photos", "index.html", 512, true)?;
    assert!(!store.put("photos", "index.html", 1024, false)?);

    let mut request = Request { delimiter: Some("/"), max_keys: 2, ..Request::default() };
    let first = store.list("photos", &request)?;
    assert_eq!(first.common_prefixes, ["2023/", "2024/"]);
    request.start_after = first.next;
    let second = store.list("photos", &request)?;
    assert_eq!(second.common_prefixes, ["2025/", "2026/"]);
    request.start_after = second.next;
    let third = store.list("photos", &request)?;
    assert_eq!(third.objects, [("index.html".to_owned(), 512)]);
    assert!(!third.truncated && third.next.is_none());

    // Every object of a year, without pages.
    let year = Request { prefix: "2024/", max_keys: 1000, ..Request::default() };
    let answer = store.list("photos", &year)?;
    println!("2024 has {} photos, the first is {:?}", answer.objects.len(), answer.objects[0]);
    assert_eq!(answer.objects.len(), 12);

    assert!(store.remove_bucket("photos")?);
    assert_eq!(store.list("photos", &year)?.objects, []);
    Ok(())
}
