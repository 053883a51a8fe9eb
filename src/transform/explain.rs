//! `explain` before a query typed by hand.

/// A query without the `explain` before it, and whether it is to be explained and, as
/// `analyze` asks, run. What is taken away leaves blanks, so that errors keep their
/// places.
pub(super) fn without_explain(sql: &str) -> (String, Option<Explain>) {
    let (first, after) = word_at(sql, 0);
    if !first.eq_ignore_ascii_case("explain") {
        return (sql.to_owned(), None);
    }
    let mut asked = Explain { analyze: false, verbose: false };
    let mut end = after;
    loop {
        let (word, after) = word_at(sql, end);
        match word.to_ascii_lowercase().as_str() {
            "analyze" => asked.analyze = true,
            "verbose" => asked.verbose = true,
            _ => break,
        }
        end = after;
    }
    let blanks = sql[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    (blanks.chain(sql[end..].chars()).collect(), Some(asked))
}

/// What is to be told of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Explain {
    /// Run it, and tell what each step did.
    pub(super) analyze: bool,
    /// Tell every stage of planning.
    pub(super) verbose: bool,
}

/// The first word after a place, and where it ends.
fn word_at(sql: &str, from: usize) -> (&str, usize) {
    let rest = &sql[from..];
    let start = from + (rest.len() - rest.trim_start().len());
    let word = &sql[start..];
    let length = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
    (&word[..length], start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_is_taken_away_and_leaves_its_place() {
        let (sql, asked) = without_explain(" EXPLAIN\n analyze select 1");
        assert_eq!(sql, "        \n         select 1");
        assert_eq!(asked, Some(Explain { analyze: true, verbose: false }));
        let (sql, asked) = without_explain("select explain from t");
        assert_eq!((sql.as_str(), asked), ("select explain from t", None));
        assert_eq!(without_explain("explain").0.trim(), "");
    }
}
