use std::error::Error;
use std::fmt;

use crate::pipeline::{Outcome, PipelineError};

/// One failure on its way to a person: what, its causes, what to do next.
#[derive(Debug)]
pub(super) struct Failure {
    outcome: Outcome,
    error: Box<dyn Error + Send + Sync>,
    advice: Option<String>,
}

impl Failure {
    /// A failure of the command itself.
    pub(super) fn new(outcome: Outcome, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome, error: error.into(), advice: None }
    }

    /// Says what to do next.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        Self { outcome: error.outcome(), advice: error.advice(), error: Box::new(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error: {}", self.error)?;
        let mut said = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries repeat their cause in their own text; once is enough.
            if !said.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
            }
            said = text;
            cause = error.source();
        }
        match &self.advice {
            Some(advice) => write!(f, "\n  next: {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("Table `a` could not be read")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let error = Outer(std::io::Error::other("no such file"));
        let failure = Failure::new(Outcome::Failed, error).advise("make the file");
        let expected =
            "Error: Table `a` could not be read\n  caused by: no such file\n  next: make the file";
        assert_eq!(failure.to_string(), expected);
    }
}
