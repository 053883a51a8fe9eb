//! What is typed, taken apart: statements, and whether one has ended.

/// Splits text at the semicolons that end statements; the last part is what stands
/// after the last of them, comments and all.
pub(super) fn statements(text: &str) -> (Vec<String>, String) {
    let mut ended = Vec::new();
    let mut start = 0;
    for end in ends(text) {
        ended.push(text[start..end].trim().to_owned());
        start = end + 1;
    }
    ended.retain(|statement| !is_blank(statement));
    (ended, text[start..].to_owned())
}

/// Whether nothing is left to be run: no text but white space and comments.
pub(super) fn is_blank(text: &str) -> bool {
    let mut walk = Walk::new(text);
    !walk.any(|(_, character, inside)| inside != Inside::Comment && !character.is_whitespace())
}

/// Whether text is a statement with its semicolon, or nothing at all.
pub(super) fn is_complete(text: &str) -> bool {
    let (_, rest) = statements(text);
    is_blank(&rest)
}

/// The places of the semicolons outside of quotes and comments.
fn ends(text: &str) -> Vec<usize> {
    let walk = Walk::new(text);
    walk.filter(|(_, character, inside)| *character == ';' && *inside == Inside::Nothing)
        .map(|(place, ..)| place)
        .collect()
}

/// What a character stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// Between quotes, the quote itself included.
    Quotes(char),
    Comment,
}

/// A walk over the characters of SQL that knows what each stands in.
struct Walk<'a> {
    text: &'a str,
    place: usize,
    inside: Inside,
    /// What ends the comment that the walk is in.
    end: &'static str,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, place: 0, inside: Inside::Nothing, end: "" }
    }
}

impl Iterator for Walk<'_> {
    type Item = (usize, char, Inside);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.place..];
        let character = rest.chars().next()?;
        let place = self.place;
        self.place += character.len_utf8();
        let seen = match self.inside {
            Inside::Nothing if rest.starts_with("--") || rest.starts_with("/*") => {
                self.end = if rest.starts_with("--") { "\n" } else { "*/" };
                self.inside = Inside::Comment;
                Inside::Comment
            }
            Inside::Nothing if character == '\'' || character == '"' => {
                self.inside = Inside::Quotes(character);
                self.inside
            }
            Inside::Nothing => Inside::Nothing,
            Inside::Quotes(quote) => {
                if character == quote {
                    self.inside = Inside::Nothing;
                }
                Inside::Quotes(quote)
            }
            Inside::Comment => {
                if self.text[..self.place].ends_with(self.end) {
                    self.inside = Inside::Nothing;
                }
                Inside::Comment
            }
        };
        Some((place, character, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let text =
            "select ';', \";\" -- ;\n, 1 /* ; */; select 2 ;\n -- the rest; still\n select 'ü";
        let (ended, rest) = statements(text);
        assert_eq!(ended, ["select ';', \";\" -- ;\n, 1 /* ; */", "select 2"]);
        assert!(rest.ends_with("select 'ü"), "{rest}");
    }

    #[test]
    fn a_statement_is_complete_with_its_semicolon() {
        for complete in ["", "  ", "-- a remark", "select 1;", "select ';' ; -- done", ";;"] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in ["select 1", "select ';", "select 1; select", "/* */ x", "select 'it''s;"] {
            assert!(!is_complete(open), "{open}");
        }
    }
}
