//! The words of a line: split at blanks, with quotes, and the way back.
//!
//! - Between single quotes every character stands for itself.
//! - Between double quotes a backslash takes the meaning from a quote or a backslash behind it.
//! - Elsewhere a backslash takes the meaning from any character behind it.

use crate::failure::Failure;

/// One word of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it begins in the line, in bytes.
    pub(crate) start: usize,
    /// What it says, without quotes.
    pub(crate) text: String,
}

/// The words of a line, as far as it goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Those that have an end. A quote that is still open ends with the line.
    pub(crate) words: Vec<Word>,
    /// The last one, if the line ends in it: more could be typed.
    pub(crate) last: Option<Word>,
    /// Whether the line ends inside a quote or behind a backslash.
    open: bool,
}

impl Words {
    /// Reads a line, or the beginning of one.
    pub(crate) fn read(line: &str) -> Words {
        let mut read = Words::default();
        let mut characters = line.char_indices();
        let mut quote = None;
        while let Some((at, character)) = characters.next() {
            if quote.is_none() && character.is_whitespace() {
                read.words.extend(read.last.take());
                continue;
            }
            let word = read.last.get_or_insert_with(|| Word { start: at, text: String::new() });
            match (quote, character) {
                (Some(open), _) if character == open => quote = None,
                (Some('\''), _) => word.text.push(character),
                (None, '\'' | '"') => quote = Some(character),
                (_, '\\') => match characters.next() {
                    Some((_, next)) => {
                        if quote.is_some() && next != '"' && next != '\\' {
                            word.text.push('\\');
                        }
                        word.text.push(next);
                    }
                    None => read.open = true,
                },
                _ => word.text.push(character),
            }
        }
        read.open |= quote.is_some();
        read
    }

    /// What all words of a whole line say.
    ///
    /// # Errors
    ///
    /// [`Failure::Quote`] if the line ends before a quote does.
    pub(crate) fn split(line: &str) -> Result<Vec<String>, Failure> {
        let read = Words::read(line);
        if read.open {
            return Err(Failure::Quote);
        }
        Ok(read.words.into_iter().chain(read.last).map(|word| word.text).collect())
    }
}

/// A word that says `text`.
pub(crate) fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() || ['\'', '"', '\\'].contains(&character) {
            word.push('\\');
        }
        word.push(character);
    }
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        Words::split(line).ok()
    }

    #[test]
    fn blanks_part_words_and_quotes_keep_them_together() {
        for (line, words) in [
            ("", &[][..]),
            ("  get \t a ", &["get", "a"]),
            ("put 'a b' \"c d\"", &["put", "a b", "c d"]),
            ("a\\ b ''", &["a b", ""]),
            ("'\\' \"\\\\ \\\" \\n\"", &["\\", "\\ \" \\n"]),
            ("a'b'\"c\"d", &["abcd"]),
        ] {
            assert_eq!(split(line).as_deref(), Some(&words.map_owned()[..]), "{line}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|word| (*word).to_owned()).collect()
        }
    }

    #[test]
    fn the_beginning_of_a_line_has_a_last_word_to_go_on_with() {
        let read = Words::read("get 'usr/my fi");
        assert_eq!(read.words, [Word { start: 0, text: "get".to_owned() }]);
        assert_eq!(read.last, Some(Word { start: 4, text: "usr/my fi".to_owned() }));
        assert_eq!(Words::read("get ").last, None);
    }

    proptest! {
        #[test]
        fn any_words_come_back(words: Vec<String>) {
            let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            prop_assert_eq!(split(&line.join(" ")), Some(words));
        }
    }
}
