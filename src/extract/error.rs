use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::hubspot;
use crate::lake::LakeError;

/// An error and its causes as one sentence, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Where a decoder gave up. Its own words are not kept: they quote what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// The text ends too early.
    #[error("it breaks off")]
    Truncated,
    /// It is no JSON, or JSON of another shape.
    #[error("it is not as expected at line {line}, column {column}")]
    Shape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

impl From<serde_json::Error> for Misread {
    fn from(error: serde_json::Error) -> Self {
        match error.is_eof() {
            true => Self::Truncated,
            false => Self::Shape { line: error.line(), column: error.column() },
        }
    }
}

/// Why an extract stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// HubSpot refused, failed or could not be reached.
    #[error("Could not read `{what}` from HubSpot")]
    HubSpot {
        /// The object type or reference table being read.
        what: String,
        /// What HubSpot or the network said.
        #[source]
        source: Box<hubspot::Error>,
    },
    /// A page that is not a page.
    #[error("A page of `{object}` does not parse{}", quoted(.correlation_id.as_deref()))]
    Page {
        /// The object type being read.
        object: String,
        /// The id to quote to HubSpot's support, where the answer had one.
        correlation_id: Option<String>,
        /// Where the JSON went wrong.
        #[source]
        source: Misread,
    },
    /// Search pages that are not in the order asked for cannot be walked.
    #[error(
        "Search of `{object}` answered ids that are not ascending after `{after}`; \
         run `hublake extract {object} --full`, which lists instead"
    )]
    SearchOrder {
        /// The object type being searched.
        object: String,
        /// The last id of the page before.
        after: i64,
    },
    /// A list that answers one cursor with the same cursor has no end.
    #[error("The list of `{object}` does not go on from its cursor `{cursor}`")]
    StuckList {
        /// The object type being listed.
        object: String,
        /// The cursor answered twice.
        cursor: String,
    },
    /// A list that goes on for ever without showing a record.
    #[error("The list of `{object}` names page after page and none of them shows a record")]
    EndlessList {
        /// The object type being listed.
        object: String,
    },
    /// A page of a search whose records all lack an id: where the next page
    /// begins is then unknown.
    #[error(
        "Search of `{object}` answered records without ids after `{after}`; \
         run `hublake extract {object} --full`, which lists instead"
    )]
    SearchWithoutIds {
        /// The object type being searched.
        object: String,
        /// The last id of the page before.
        after: i64,
    },
    /// The lake could not be read or written.
    #[error("Could not store `{what}`")]
    Lake {
        /// The table being written.
        what: String,
        /// What the lake said.
        #[source]
        source: Box<LakeError>,
    },
    /// A table of the lake could not be read back.
    #[error("Table `{table}` could not be read")]
    Scan {
        /// The table being read.
        table: String,
        /// What the query engine said.
        #[source]
        source: DataFusionError,
    },
    /// A selected property that the object type does not have.
    #[error("`{object}` has no property `{property}`{hint}")]
    UnknownProperty {
        /// The object type.
        object: String,
        /// The name in the settings.
        property: String,
        /// The nearest known name, as the end of a sentence; may be empty.
        hint: String,
    },
    /// Arrow refused a batch that was built here: a defect of hublake.
    #[error("A record batch could not be built: this is a defect of hublake")]
    Arrow(#[from] ArrowError),
}

/// How an error tells a correlation id.
fn quoted(correlation_id: Option<&str>) -> String {
    correlation_id.map_or(String::new(), |id| format!(" (correlation id `{id}`)"))
}

impl ExtractError {
    /// The HubSpot failure behind this error, where there is one.
    pub fn hubspot(&self) -> Option<&hubspot::Error> {
        match self {
            Self::HubSpot { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Whether HubSpot has refused just what was asked: a scope or a feature that is
/// missing, or types that do not go together.
pub(super) fn is_refusal(error: &ExtractError) -> bool {
    use hubspot::ErrorKind::{MissingScope, NotFound, Refused};
    let kind = error.hubspot().map(hubspot::Error::kind);
    matches!(kind, Some(MissingScope(_) | NotFound | Refused))
}

/// Names what was being read when HubSpot failed.
pub(super) fn reading(what: &str) -> impl FnOnce(hubspot::Error) -> ExtractError {
    let what = what.to_owned();
    move |source| ExtractError::HubSpot { what, source: Box::new(source) }
}

/// Names what was being stored when the lake failed.
pub(super) fn storing(what: &impl ToString) -> impl FnOnce(LakeError) -> ExtractError {
    let what = what.to_string();
    move |source| ExtractError::Lake { what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_s_words_are_not_kept() {
        let error = serde_json::from_str::<Vec<u8>>(r#"["jane@example.com"]"#).expect_err("a text");
        assert!(error.to_string().contains("jane"), "the decoder quotes: {error}");
        let misread = Misread::from(error);
        assert!(!format!("{misread} {misread:?}").contains("jane"), "{misread}");
    }
}
