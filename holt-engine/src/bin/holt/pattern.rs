//! Patterns of names: `*` stands for any bytes, `?` for any one byte, every other byte for itself.

/// Whether the whole of `name` has the form of `pattern`. Takes time in proportion to the product of
/// their lengths at most.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Behind the last star, and how much of the name it has been given so far.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, from));
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((behind, given)) = star else { return false };
                at = behind;
                from = given + 1;
                star = Some((behind, from));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same in the words of its definition.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|at| by_definition(rest, &name[at..])),
            [byte, rest @ ..] => match name {
                [first, more @ ..] if *byte == b'?' || byte == first => by_definition(rest, more),
                _ => false,
            },
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_other_bytes() {
        for (pattern, name, expected) in [
            ("*.so", "libc.so", true),
            ("*.so", "libc.so.6", false),
            ("lib*.so*", "libc.so.6", true),
            ("?", "", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a**c", "ac", true),
            ("*b*b", "abab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_it_is_defined(pattern in "[ab*?]{0,7}", name in "[ab]{0,8}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(pattern, name), by_definition(pattern, name));
        }
    }
}
