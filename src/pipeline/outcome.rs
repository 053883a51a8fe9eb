use serde::Serialize;

/// How a run ended, as its exit code says it. The codes are frozen.
///
/// In order of gravity: where several things went wrong, the gravest is what
/// the run exits with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything asked for was done.
    #[default]
    Succeeded,
    /// A plan has changes; only said where `--detailed-exitcode` asks.
    Changes,
    /// Done, with more rejected rows than allowed.
    Rejects,
    /// A limit, a lock or an outage: the same run will work later.
    TryLater,
    /// A data test failed.
    TestsFailed,
    /// A guard refused, or the plan is out of date.
    GuardRefused,
    /// Something failed.
    Failed,
    /// The token, its portal or its scopes.
    Unauthorised,
    /// The settings.
    Settings,
    /// The command line makes no sense.
    Usage,
    /// Stopped by a person.
    Interrupted,
}

impl Outcome {
    /// The process exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Rejects => 3,
            Self::TestsFailed => 4,
            Self::GuardRefused => 5,
            Self::Usage => 64,
            Self::TryLater => 75,
            Self::Unauthorised => 77,
            Self::Settings => 78,
            Self::Interrupted => 130,
        }
    }

    /// Notes something that went wrong; the gravest stands.
    pub fn worsen(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_outcome_stands() {
        let mut outcome = Outcome::Succeeded;
        for (next, code) in [(Outcome::Rejects, 3), (Outcome::Failed, 1), (Outcome::TryLater, 1)] {
            outcome.worsen(next);
            assert_eq!(outcome.exit_code(), code);
        }
    }
}
