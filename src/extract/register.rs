//! A number that may fall, kept in cursors that only rise.
//!
//! A cursor's name stays in its table's log for ever, so what is noted anew at
//! every listing must reuse its names; and the lake moves no cursor back. So
//! each half of the number has a cursor of its own, whose upper half counts how
//! often it was set: it rises with every new value, whatever the value.

use crate::lake::{Cursor, Table};

/// What a half holds.
const HALF: i64 = u32::MAX as i64;

/// One number, under two names that are its own.
pub(super) struct Register {
    name: String,
}

impl Register {
    pub(super) fn new(name: String) -> Self {
        Self { name }
    }

    fn names(&self) -> [String; 2] {
        ["high", "low"].map(|half| format!("{}.{half}", self.name))
    }

    /// The number last set; none where none ever was.
    pub(super) fn get(&self, table: &Table) -> Option<i64> {
        let [high, low] = self.names().map(|name| table.cursor(&name));
        Some(((high? & HALF) << 32) | (low? & HALF))
    }

    /// The cursors that set the number; they must go into one commit. Those of a
    /// half that stays as it is stand still.
    pub(super) fn set(&self, table: &Table, value: i64) -> [Cursor; 2] {
        let halves = [(value >> 32) & HALF, value & HALF];
        let mut halves = halves.into_iter();
        self.names().map(|app_id| {
            let half = halves.next().unwrap_or_default();
            let value = raised(table.cursor(&app_id), half);
            Cursor { app_id, value }
        })
    }
}

/// A cursor that holds this half and does not fall.
fn raised(last: Option<i64>, half: i64) -> i64 {
    match last {
        None => half,
        Some(last) if last & HALF == half => last,
        Some(last) => (((last >> 32) + 1) << 32) | half,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_may_fall_and_its_cursor_only_rises() {
        let mut last = None;
        for half in [0, HALF, 3, 3, 2, HALF, 0] {
            let next = raised(last, half);
            assert_eq!(next & HALF, half);
            assert!(last.is_none_or(|last| next > last || last & HALF == half), "{last:?} {next}");
            assert!(next >= last.unwrap_or(0));
            last = Some(next);
        }
    }

    #[tokio::test]
    async fn a_register_holds_any_number_under_two_names() {
        use std::sync::Arc;

        use arrow::datatypes::{DataType, Field, Schema};

        use crate::lake::{Lake, LakeConfig, TableName, TableSpec};

        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
        let spec = TableSpec {
            name: TableName::hubspot("any"),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            key: vec!["id".to_owned()],
            partition_by: Vec::new(),
        };
        let mut table = lake.open_or_create(&spec).await.expect("a table");
        let register = Register::new("hublake.any".to_owned());
        assert_eq!(register.get(&table), None);
        for value in [0, i64::MAX, 7, 206_000_000_001, -1, i64::MIN, 206_000_000_000, 7] {
            let cursors = register.set(&table, value);
            table.commit_cursors(&cursors).await.expect("a commit");
            let reopened = lake.table(&spec.name).await.expect("a lake").expect("a table");
            assert_eq!(register.get(&reopened), Some(value));
        }
        assert_eq!(table.cursors_under("hublake.").count(), 2);
    }
}
