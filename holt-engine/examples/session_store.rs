//! Sessions of a service: found by their token, ended by time, by hand, or for a user everywhere.
//!
//! `cargo run -p holt-engine --example session_store`
//!
//! Three trees hold a session: by its token, by its end, and by its user. One batch changes all three,
//! so none ever names a session that another does not know.

use holt_engine::{Batch, Db, Error, KeyPath, Tree};

struct Sessions {
    db: Db,
    /// Token: end and user.
    tokens: Tree,
    /// End, in eight bytes whose order is that of time, and token: nothing.
    ends: Tree,
    /// User and token, as a path: nothing.
    users: Tree,
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq)]
struct Session {
    /// Seconds, of whatever clock the service uses.
    end: u64,
    user: String,
}

impl Session {
    fn encode(&self) -> Vec<u8> {
        [&self.end.to_be_bytes(), self.user.as_bytes()].concat()
    }

    fn decode(value: &[u8]) -> Option<Session> {
        let (end, user) = value.split_first_chunk()?;
        let user = String::from_utf8(user.to_vec()).ok()?;
        Some(Session { end: u64::from_be_bytes(*end), user })
    }

    fn end_key(&self, token: &str) -> Vec<u8> {
        [&self.end.to_be_bytes(), token.as_bytes()].concat()
    }

    fn user_key(&self, token: &str) -> KeyPath {
        KeyPath::new().join(&self.user).join(token)
    }
}

impl Sessions {
    fn open(db: Db) -> Result<Sessions, Error> {
        let [tokens, ends, users] = ["tokens", "ends", "users"].map(|name| db.tree(name));
        Ok(Sessions { tokens: tokens?, ends: ends?, users: users?, db })
    }

    /// Begins a session. A token that is taken is refused by [`Error::GuardFailed`].
    fn begin(&self, token: &str, session: &Session) -> Result<(), Error> {
        let filled = self.db.atomic(|batch| {
            batch.require_absent(&self.tokens, token.as_bytes())?;
            batch.put(&self.tokens, token.as_bytes(), &session.encode())?;
            batch.put(&self.ends, &session.end_key(token), b"")?;
            batch.put(&self.users, session.user_key(token).as_ref(), b"")
        });
        filled.map(drop)
    }

    fn get(&self, token: &str) -> Result<Option<Session>, Error> {
        Ok(self.tokens.get(token.as_bytes())?.as_deref().and_then(Session::decode))
    }

    /// Puts off the end of a session; false if it is over, or somebody else was changing it.
    fn prolong(&self, token: &str, end: u64) -> Result<bool, Error> {
        let found = self.tokens.get_with_version(token.as_bytes())?;
        let Some((value, version)) = found else { return Ok(false) };
        let Some(old) = Session::decode(&value) else { return Ok(false) };
        let new = Session { end, ..old.clone() };
        done(self.db.atomic(|batch| {
            batch.require_version(&self.tokens, token.as_bytes(), version)?;
            batch.put(&self.tokens, token.as_bytes(), &new.encode())?;
            batch.delete(&self.ends, &old.end_key(token))?;
            batch.put(&self.ends, &new.end_key(token), b"")
        }))
    }

    /// Ends a session; false if it was over.
    fn end(&self, token: &str) -> Result<bool, Error> {
        let found = self.tokens.get_with_version(token.as_bytes())?;
        let Some((value, version)) = found else { return Ok(false) };
        let Some(session) = Session::decode(&value) else { return Ok(false) };
        done(self.db.atomic(|batch: &mut Batch| {
            batch.require_version(&self.tokens, token.as_bytes(), version)?;
            batch.delete(&self.tokens, token.as_bytes())?;
            batch.delete(&self.ends, &session.end_key(token))?;
            batch.delete(&self.users, session.user_key(token).as_ref())
        }))
    }

    /// Ends every session of a user; says how many.
    fn end_all(&self, user: &str) -> Result<usize, Error> {
        let mut ended = 0;
        for entry in self.users.prefix(KeyPath::new().join(user).below()).keys_only() {
            let path = KeyPath::parse(entry?.name())?;
            let token = path.name().unwrap_or_default().into_owned();
            ended += usize::from(self.end(&String::from_utf8_lossy(&token))?);
        }
        Ok(ended)
    }

    /// Ends what is over at `now`, the oldest first; says how many. Reads nothing else.
    fn sweep(&self, now: u64) -> Result<usize, Error> {
        let mut ended = 0;
        for entry in self.ends.range(..(now + 1).to_be_bytes()).keys_only() {
            let key = entry?.into_name();
            ended += usize::from(self.end(&String::from_utf8_lossy(&key[8..]))?);
        }
        Ok(ended)
    }
}

/// Whether a batch was applied, or a guard kept it from that.
fn done<T>(outcome: Result<T, Error>) -> Result<bool, Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(Error::GuardFailed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let sessions = Sessions::open(Db::in_memory()?)?;
    let session = |end, user: &str| Session { end, user: user.to_owned() };
    for (token, end, user) in [("t1", 100, "alice"), ("t2", 200, "alice"), ("t3", 150, "bob")] {
        sessions.begin(token, &session(end, user))?;
    }
    assert!(matches!(sessions.begin("t1", &session(1, "eve")), Err(Error::GuardFailed(_))));
    assert!(sessions.prolong("t1", 300)?);
    assert_eq!(sessions.sweep(150)?, 1, "bob's time is over, that of t1 was put off");
    assert_eq!((sessions.get("t3")?, sessions.get("t1")?), (None, Some(session(300, "alice"))));
    assert!(!sessions.end("t3")?);
    println!("{} sessions are alice's", sessions.users.count(b"alice/")?);
    assert_eq!(sessions.end_all("alice")?, 2);
    assert!(sessions.tokens.is_empty()? && sessions.ends.is_empty()? && sessions.users.is_empty()?);
    Ok(())
}
