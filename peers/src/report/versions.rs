//! The versions of the engines, read from the lock file that this program was built with.

use crate::engine::Kind;

const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of an engine's package.
pub(crate) fn of(kind: &Kind) -> String {
    if kind.package.is_empty() {
        return "of the compiler".to_owned();
    }
    locked(LOCK, kind.package).unwrap_or_else(|| "unknown".to_owned())
}

/// The version of a package of the registry in a lock file.
fn locked(lock: &str, package: &str) -> Option<String> {
    let value = |block: &str, name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
            .map(|quoted| quoted.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .find(|block| value(block, "name").as_deref() == Some(package))
        .and_then(|block| value(block, "version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_a_version() {
        for kind in crate::engines::all() {
            assert_ne!(of(&kind), "unknown", "{}", kind.name);
        }
        assert_eq!(locked(LOCK, "redb").as_deref(), Some("4.6.0"));
        assert_eq!(locked(LOCK, "no-such-package"), None);
    }
}
